"""Jobs: Procrastinate on the same PostgreSQL.

The row that wants something is the truth (its `look_at` says when it is due); a job is the fast way
to get there. So a job lost costs seconds, never a server: the worker's sweep defers it again.

A job is deferred inside the caller's transaction, under a savepoint: `queueing_lock` allows one waiting
job a subject, and finding one there is success, not an error.
"""

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued
from sqlalchemy.ext.asyncio import AsyncConnection

CONVERGE_SERVER = "converge_server"
CONVERGE_SNAPSHOT = "converge_snapshot"
CONVERGE_BACKUP = "converge_backup"
CUSTOMER, SWEEP = 10, 0  # priorities: who waits for it goes first


def make_app(conninfo: str, *, pool_size: int = 4) -> App:
    """Return Procrastinate's app; only the worker opens it, deferring needs no pool of its own."""
    return App(
        connector=PsycopgConnector(conninfo=conninfo, min_size=1, max_size=pool_size),
    )


_deferring = make_app("")  # never opened: deferring runs on the caller's connection


async def defer(
    conn: AsyncConnection, task: str, subject: str, *, priority: int, lock: str | None = None, **arguments: int
) -> None:
    """Have `task` run soon for `subject`; commits and rolls back with the caller.

    One job runs at a time for a `lock`, which is the subject if nothing else is said.
    """
    raw = (await conn.get_raw_connection()).driver_connection
    try:
        async with conn.begin_nested():
            await _deferring.configure_task(
                task,
                lock=lock or subject,
                queueing_lock=subject,
                priority=priority,
                allow_unknown=True,
                connection=raw,
            ).defer_async(**arguments)
    except AlreadyEnqueued:
        return
