"""Giving up what only deleted backups needed in the store: for all of them together, at most once an hour.

It reads the index of the whole store, rewrites what is half needed, and nobody else may write meanwhile: with each
deletion it would cost the same again, and a night's end of a thousand backups would take all day.
"""

from datetime import timedelta

from openvps.compute.backups import queries
from openvps.compute.backups.store import Store, StoreBusy
from openvps.compute.servers.context import Context
from openvps.core import log
from openvps.core.clock import now

logger = log.get(__name__)

AT_MOST_EVERY = timedelta(hours=1)
AT_LEAST_EVERY = timedelta(days=7)  # backups of the control plane go without our being told


async def prune(context: Context) -> bool:
    """Prune the store if it is time; returns whether it was done. Raises StoreFailed."""
    began = now()
    async with context.database.begin() as conn:
        if not await queries.to_be_pruned(conn, began, at_most=AT_MOST_EVERY, at_least=AT_LEAST_EVERY):
            return False
    try:
        await Store(context.settings).prune()
    except StoreBusy as error:  # the next turn will find it free
        logger.info("store_not_pruned", reason=str(error))
        return False
    async with context.database.begin() as conn:
        await queries.note_turn(conn, queries.PRUNED, began)  # what was forgotten since is the next one's
    logger.info("store_pruned", seconds=round((now() - began).total_seconds(), 1))
    return True
