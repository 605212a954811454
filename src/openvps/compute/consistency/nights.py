"""The nightly look, and how a worker is told of one that was asked for."""

from datetime import datetime, timedelta

from openvps.compute.consistency import queries
from openvps.core import jobs
from openvps.core.db import Connection, Database

NIGHT = "night"
AT = timedelta(hours=2, minutes=30)  # UTC, before the night's backups


async def wake(conn: Connection, number: int, *, priority: int = jobs.SWEEP) -> None:
    """Have a worker do what a report asks for; one at a time in all."""
    await jobs.defer(
        conn,
        jobs.CHECK_CONSISTENCY,
        f"consistency:{number}",
        lock="consistency",
        priority=priority,
        report_id=number,
    )


async def ask(conn: Connection, *, asked_by: str, repair: bool, at: datetime, priority: int = jobs.CUSTOMER) -> int:
    """Want a look; returns the report's number."""
    number = await queries.ask(conn, asked_by=asked_by, repair=repair, at=at)
    await wake(conn, number, priority=priority)
    return number


async def nightly(database: Database, at: datetime) -> None:
    """Begin this night's look once its time has come; one that a worker lost is taken up again."""
    since = (at - AT).replace(hour=0, minute=0, second=0, microsecond=0) + AT
    async with database.begin() as conn:
        for number in await queries.unfinished_reports(conn):
            await wake(conn, number)
        if not await queries.asked_since(conn, NIGHT, since):
            await ask(conn, asked_by=NIGHT, repair=False, at=at, priority=jobs.SWEEP)
