"""Suspension: servers follow their account's standing, which billing and operators set.

A watcher reads that level and begins what follows from it; the machine is turned off and on by `converge`. What the
customer wanted of a server stays in its row, so that a server which ran is started again and a stopped one stays so.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, case, func, select, update

from openvps.accounts import audit
from openvps.accounts import standing as accounts
from openvps.accounts.standing import SUSPENDED
from openvps.actions import queries as actions
from openvps.compute.servers import promise
from openvps.compute.servers.queries import ABSENT
from openvps.compute.servers.states import TRANSITIONS
from openvps.core import jobs, log
from openvps.core.clock import now
from openvps.core.db import Connection, Database, Record
from openvps.ledger import rates
from openvps.schema import account, server

logger = log.get(__name__)

LIMIT = 500  # servers of each kind in a turn


async def enforce(database: Database) -> int:
    """Suspend, unsuspend and delete what the standings of accounts call for; returns how many servers."""
    async with database.begin() as conn:
        moved = [(kind, row) for kind in ("suspend", "unsuspend") for row in await _misplaced(conn, kind, LIMIT)]
        ended = await _past_their_end(conn, LIMIT)
    for kind, row in moved:
        async with database.begin() as conn:
            await _move(conn, kind, row.id, row.account_id)
    for row in ended:
        async with database.begin() as conn:
            await _delete(conn, row.id, row.account_id)
    return len(moved) + len(ended)


async def _move(conn: Connection, kind: str, server_id: int, account_id: int) -> None:
    await accounts.lock(conn, account_id)  # so that the standing can't change while this follows it
    if not await _follow_standing(conn, kind, server_id, now()):
        return
    await _begin(conn, kind, server_id, account_id, exclusive=kind == "unsuspend")


async def _delete(conn: Connection, server_id: int, account_id: int) -> None:
    """Delete a server whose account's term is over, as its customer would."""
    ends_at = await rates.lock(conn, account_id)
    if not await _end_unpaid(conn, server_id, now()):
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


_RESTING = {"suspend": server.c.status.in_(("active", "stopped")), "unsuspend": server.c.status == "suspended"}
_STANDING = {"suspend": SUSPENDED, "unsuspend": ~SUSPENDED}


def _follows(kind: str) -> Any:
    return and_(_RESTING[kind], server.c.wanted != ABSENT, account.c.id == server.c.account_id, _STANDING[kind])


async def _misplaced(conn: Connection, kind: str, limit: int) -> list[Record]:
    """Return servers that their account's standing calls to `suspend`, or to `unsuspend`."""
    columns = (server.c.id, server.c.account_id)
    return list(await conn.execute(select(*columns).select_from(server, account).where(_follows(kind)).limit(limit)))


async def _follow_standing(conn: Connection, kind: str, server_id: int, at: datetime) -> bool:
    """Suspend or unsuspend a server, if its account's standing still says so; one that was stopped stays so."""
    way = TRANSITIONS[kind]
    starts = server.c.wanted == "running"
    back = {
        "status": case((starts, way.meanwhile), else_="stopped"),
        "deadline_at": case((starts, at + timedelta(seconds=way.deadline_s or 0)), else_=None),
    }
    values: dict[str, Any] = {"status": way.meanwhile, "deadline_at": None} if kind == "suspend" else back
    done = await conn.execute(
        update(server)
        .where(server.c.id == server_id, _follows(kind))
        .values(**values, look_at=at, stop_told_at=None, version=server.c.version + 1, updated_at=func.now())
    )
    return done.rowcount == 1


def _ended(at: Any) -> Any:
    return and_(
        server.c.status.in_(TRANSITIONS["delete"].allowed),
        server.c.wanted != ABSENT,
        account.c.id == server.c.account_id,
        account.c.servers_end_at <= at,
        account.c.unpaid_at.is_not(None),
    )


async def _past_their_end(conn: Connection, limit: int) -> list[Record]:
    """Return servers whose account was told that they'd be deleted by now for want of credit."""
    columns = (server.c.id, server.c.account_id)
    return list(
        await conn.execute(select(*columns).select_from(server, account).where(_ended(func.now())).limit(limit))
    )


async def _end_unpaid(conn: Connection, server_id: int, at: datetime) -> bool:
    """Want a server absent if its account's term is over."""
    way = TRANSITIONS["delete"]
    values = {"status": way.meanwhile, "wanted": way.wanted, "deadline_at": None, "look_at": at, "error": None}
    done = await conn.execute(
        update(server)
        .where(server.c.id == server_id, _ended(at))
        .values(**values, version=server.c.version + 1, updated_at=func.now())
    )
    return done.rowcount == 1
