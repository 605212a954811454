"""Partitions of the history: made before they are needed, dropped when all in them is too old.

Both may be repeated, by any number of workers. A clock that jumps ahead makes everything look old: so the newest
partitions stay whatever their age, as many as a whole history has.
"""

from datetime import UTC, datetime
from math import ceil

from sqlalchemy import func, select, text

from openvps.compute.usage.resolutions import RESOLUTIONS, Resolution
from openvps.core import log
from openvps.core.db import Connection, Database

logger = log.get(__name__)

_LISTED = text(
    "SELECT right(relname, 10) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
    " WHERE inhparent = to_regclass(:parent) ORDER BY 1 DESC"
)


async def make(conn: Connection, at: datetime) -> None:
    """Make the partitions of `at` and the ones after them, where they are missing."""
    spans = [(one, *one.partition(at)) for one in RESOLUTIONS]
    spans = [span for one, begin, end in spans for span in ((one, begin, end), (one, *one.partition(end)))]
    add = text("SELECT openvps_add_partition(:parent, :begins, :ends)")
    await conn.execute(add, [{"parent": one.table.name, "begins": begin, "ends": end} for one, begin, end in spans])


async def drop_old(database: Database, at: datetime) -> int:
    """Drop the partitions that nothing is asked of any more; returns how many.

    Each in a transaction of its own. Raises where one is read for too long just now: it goes the next time.
    """
    dropped = 0
    for one in RESOLUTIONS:
        for begin in await _old(database, one, at):
            async with database.begin() as conn:
                await conn.execute(text("SET LOCAL lock_timeout = '2s'"))  # whoever reads it waits behind us
                await conn.execute(select(func.openvps_drop_partition(one.table.name, begin)))
            logger.info("partition_dropped", table=one.table.name, begins=begin.isoformat())
            dropped += 1
    return dropped


async def _old(database: Database, one: Resolution, at: datetime) -> list[datetime]:
    async with database.begin() as conn:
        names = (await conn.execute(_LISTED, {"parent": one.table.name})).scalars()
        begins = [datetime.strptime(name, "%Y%m%d%H").replace(tzinfo=UTC) for name in names]
    least = ceil(one.kept / one.width) + 2  # a whole history, the present one and the next
    return [begin for begin in begins[least:] if one.partition(begin)[1] <= at - one.kept]
