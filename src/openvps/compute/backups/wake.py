"""What both sides of a backup know: its name in the engine and the store, and how the worker is told of it."""

from openvps.core import jobs
from openvps.core.db import Connection


def tag(backup_id: int) -> str:
    """Return a backup's name in the engine and in the store."""
    return f"backup-{backup_id}"


async def wake(conn: Connection, backup_id: int, *, priority: int = jobs.CUSTOMER) -> None:
    """Have a worker look at a backup; one at a time is read or written, so that servers keep their disks' speed."""
    await jobs.defer(
        conn, jobs.CONVERGE_BACKUP, f"backup:{backup_id}", lock="backups", priority=priority, backup_id=backup_id
    )
