"""What a server has to do with backups: how one is named in engine and store, and how a worker is told of it.

The backups' own slice stands above this one; here is what a server restored from one, perhaps a new one, needs.
"""

from datetime import timedelta

from openvps.core import jobs
from openvps.core.db import Connection

COPYING = timedelta(hours=6)  # what a backup is given to get from the store to a cell
OF_A_BACKUP = "backup-"  # what a restore from a backup begins with; snapshots' names are others


def tag(backup_id: int) -> str:
    """Return a backup's name in the engine and in the store."""
    return f"{OF_A_BACKUP}{backup_id}"


async def wake(
    conn: Connection, backup_id: int, *, making_in: int | None = None, priority: int = jobs.CUSTOMER
) -> None:
    """Have a worker look at a backup.

    One at a time is made of the servers of a cell, `making_in`, so that they keep their disks' speed; what is stored
    already waits for nobody.
    """
    lock = f"backup:{backup_id}" if making_in is None else f"backups:{making_in}"
    await jobs.defer(
        conn, jobs.CONVERGE_BACKUP, f"backup:{backup_id}", lock=lock, priority=priority, backup_id=backup_id
    )
