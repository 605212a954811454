"""Suspension: servers follow their account's standing, which billing and operators set.

A watcher reads that level and begins what follows from it; the machine is turned off and on by `converge`. What the
customer wanted of a server stays in its row, so that a server which ran is started again and a stopped one stays so.
"""

from openvps.accounts import audit
from openvps.accounts import standing as accounts
from openvps.actions import queries as actions
from openvps.compute.servers import promise, queries
from openvps.compute.servers.states import TRANSITIONS
from openvps.core import jobs, log
from openvps.core.clock import now
from openvps.core.db import Connection, Database
from openvps.ledger import rates

logger = log.get(__name__)

LIMIT = 500  # servers of each kind in a turn


async def enforce(database: Database) -> int:
    """Suspend, unsuspend and delete what the standings of accounts call for; returns how many servers."""
    async with database.begin() as conn:
        moved = [
            (kind, row) for kind in ("suspend", "unsuspend") for row in await queries.misplaced(conn, kind, LIMIT)
        ]
        ended = await queries.past_their_end(conn, LIMIT)
    for kind, row in moved:
        async with database.begin() as conn:
            await _move(conn, kind, row.id, row.account_id)
    for row in ended:
        async with database.begin() as conn:
            await _delete(conn, row.id, row.account_id)
    return len(moved) + len(ended)


async def _move(conn: Connection, kind: str, server_id: int, account_id: int) -> None:
    await accounts.lock(conn, account_id)  # so that the standing can't change while this follows it
    if not await queries.follow_standing(conn, kind, server_id, now()):
        return
    await _begin(conn, kind, server_id, account_id, exclusive=kind == "unsuspend")


async def _delete(conn: Connection, server_id: int, account_id: int) -> None:
    """Delete a server whose account's term is over, as its customer would."""
    ends_at = await rates.lock(conn, account_id)
    if not await queries.end_unpaid(conn, server_id, now()):
        return
    await rates.end(conn, server_id, ends_at)
    running = await actions.unfinished(conn, server_id)
    await promise.settle(conn, server_id, running)
    await actions.finish(conn, [one.id for one in running], "cancelled", TRANSITIONS["delete"].cancels)
    await _begin(conn, "delete", server_id, account_id, exclusive=True)


async def _begin(conn: Connection, kind: str, server_id: int, account_id: int, *, exclusive: bool) -> None:
    await actions.begin(conn, account_id=account_id, kind=f"server.{kind}", subject_id=server_id, exclusive=exclusive)
    await jobs.defer(conn, jobs.CONVERGE_SERVER, f"server:{server_id}", priority=jobs.CUSTOMER, server_id=server_id)
    await audit.record_billing(conn, account_id, f"{kind}_server", f"server {server_id}")
    logger.info("standing_followed", server=server_id, kind=kind)
