"""Every night's backups: begun for whoever is due, and given up when their term is over and a newer one is good.

Who is due is asked of the rows: a night that was missed is caught up, and repeating a turn begins nothing twice.
"""

from datetime import datetime, timedelta

from openvps.actions import queries as actions
from openvps.compute.backups import queries
from openvps.compute.servers.stored import wake
from openvps.core import jobs, log
from openvps.core.db import Database

logger = log.get(__name__)

LIMIT = 200  # a turn
DEADLINE = timedelta(hours=6)
DESCRIPTION = "Daily backup"


async def nightly(database: Database, *, days: int, at: datetime) -> int:
    """Begin the automatic backups that are due at `at`, kept for `days`, and end old ones; returns how many began."""
    async with database.begin() as conn:
        for number in sorted(await queries.past_their_term(conn, at, LIMIT)):
            await queries.want_absent(conn, number, at)
            await wake(conn, number, priority=jobs.SWEEP)
    async with database.begin() as conn:
        due = await queries.nightly(conn, at, LIMIT)
        for server in due:
            number = await queries.add(
                conn,
                account_id=server.account_id,
                server_id=server.id,
                server_uuid=server.uuid,
                server_name=server.name,
                system_id=server.system_id,
                storage_gb=server.storage_gb,
                backup_type="automatic",
                description=DESCRIPTION,
                expires_at=at + timedelta(days=days),
                look_at=at,
                deadline_at=at + DEADLINE,
                created_at=at,
            )
            await actions.begin(
                conn, account_id=server.account_id, kind="backup.create", subject_id=number, exclusive=False
            )
            await wake(conn, number, making_in=server.cell_id, priority=jobs.SWEEP)
    return len(due)
