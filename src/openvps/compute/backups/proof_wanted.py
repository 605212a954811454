"""That a backup is to be proved: on request, and by itself every so many days; `proof` does it, with the engine."""

from datetime import timedelta

from openvps.actions import queries as actions
from openvps.compute.backups import queries
from openvps.compute.servers.stored import wake
from openvps.core import jobs
from openvps.core.clock import now
from openvps.core.db import Connection, Database

KIND = "backup.verify"
DEADLINE = timedelta(hours=6)
FIRST_AFTER = timedelta(hours=1)  # not in the middle of the night's backups
AHEAD = timedelta(days=1)  # of when it must have been proved again


async def begin(conn: Connection, backup_id: int, account_id: int, *, priority: int = jobs.SWEEP) -> int | None:
    """Want a backup proved; returns the action's id, None where it is being already or no cell can do it."""
    at, cell_id = now(), await queries.place(conn, backup_id)
    if cell_id is None or not await queries.begin_proof(conn, backup_id, cell_id, at=at, deadline_at=at + DEADLINE):
        return None
    action_id = await actions.begin(conn, account_id=account_id, kind=KIND, subject_id=backup_id, exclusive=False)
    await wake(conn, backup_id, priority=priority)
    return action_id


async def schedule(database: Database, *, days: int) -> int:
    """Have backups proved that weren't for `days`, newest first, one a cell at a time; returns how many began."""
    begun = 0
    while days:
        async with database.begin() as conn:
            at = now()
            since = at - max(timedelta(days=days) - AHEAD, timedelta(days=days) / 2)
            one = await queries.to_be_proved(conn, since=since, until=at - FIRST_AFTER)
            if one is None or await begin(conn, one.id, one.account_id) is None:
                break
            begun += 1
    return begun
