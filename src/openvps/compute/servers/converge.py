"""Making a server what its row wants: look at the machine, do the next thing, look again, until they agree.

The same function serves create, start, stop, reboot, rename, delete, repair after a crash and drift: they differ only
in what the row wants, and so in the steps (`steps.py`) that are taken.
"""

import asyncio
from datetime import timedelta

from openvps.actions import queries as actions
from openvps.actions.endings import TOO_LONG
from openvps.compute.addresses import queries as addresses
from openvps.compute.locations import queries as locations
from openvps.compute.servers import promise, queue, rows
from openvps.compute.servers.context import AWAY_S, BUSY_S, Context
from openvps.compute.servers.names import machine_name
from openvps.compute.servers.states import SETTLED, goal, level, transition
from openvps.compute.servers.steps import GOALS, Failed, Refused, Sight, Wait
from openvps.core import log, metrics
from openvps.core.clock import now
from openvps.core.db import Record
from openvps.engine.protocol import Away, Busy, EngineError
from openvps.ledger import rates

logger = log.get(__name__)


async def converge(context: Context, server: int, *, patience_s: float = 30.0) -> None:
    """Make one server what its row wants, or leave word when to look again.

    Returns when they agree, when it failed for good, or when `patience_s` ran out: the row's `look_at` has the sweep
    come back, so nothing depends on this call.
    """
    started, progress = now(), 0
    while True:
        try:
            metrics.LOOKS.inc()
            wait_s, progress = await _look_once(context, server, progress)
        except Busy:
            wait_s = BUSY_S
        except EngineError as error:  # Away, or refused: perhaps better later, until the deadline
            metrics.ENGINE_FAILURES.labels(type(error).__name__).inc()
            logger.warning("engine_failed", server=server, error=str(error), kind=type(error).__name__)
            wait_s = AWAY_S
        if wait_s is None:
            return
        if wait_s >= AWAY_S or now() - started > timedelta(seconds=patience_s):
            async with context.database.begin() as conn:
                await rows.look_again(conn, server, now() + timedelta(seconds=wait_s))
            return
        await asyncio.sleep(wait_s)


async def _look_once(context: Context, server: int, progress: int) -> tuple[float | None, int]:
    """Look, and do the next thing.

    Returns the seconds until the next look, None when there is nothing more to do; and how far it is, in percent,
    which the next look notes.
    """
    async with context.database.begin() as conn:
        row = await rows.row(conn, server)
        if row is None or (_waits(row) and not _is_late(row)):
            await queue.wait(conn, server)
            return None, progress
        cell = await locations.cell_row(conn, row.cell_id)
        own = await addresses.of_server(conn, server)
        running = await actions.unfinished(conn, server)
        await actions.progressed(conn, running, progress)
    if await _ended(context, row, running):
        return 0, 0
    engine = context.engines.get(row.cell_id)
    if engine is None:
        raise Away(f"no engine for cell {row.cell_id}")
    steps = GOALS[goal(row.status, row.wanted)]
    try:
        async with context.gate(row.cell_id).place():
            # A create that nobody has begun has no machine to look for; if it had, the engine would say so.
            fresh = any(one.kind == "server.create" and one.started_at is None for one in running)
            machine = None if fresh else await engine.look(machine_name(server))
            sight = Sight(row, cell, own, running, machine, engine, context)
            for done, step in enumerate(steps):
                progress = 100 * done // len(steps)
                await step(sight)
    except Wait as wait:
        if wait.reached is not None:
            progress = 100 * steps.index(wait.reached) // len(steps)
        return wait.seconds, progress
    except (Failed, Refused) as end:
        await (
            _refuse(context, row, running, end)
            if isinstance(end, Refused)
            else _fail(context, row, running, str(end))
        )
        return 0, 0
    return (None if row.wanted == "absent" or await _agree(context, row, running) else 0), 0


async def _agree(context: Context, row: rows.Row, running: list[Record]) -> bool:
    """Settle the row and finish what brought it here; False if it wants something else by now."""
    way = next((found for one in running if (found := transition(one.kind))), None)
    status = way.done if way else row.status
    if status not in SETTLED:  # a resize, or its action was ended by hand: the level speaks for itself
        status = level(row.wanted)
    is_resized = any(one.kind == promise.RESIZE for one in running)
    async with context.database.begin() as conn:
        moment = await rates.lock(conn, row.account_id) if is_resized else None  # before the server's own lock
        if not await rows.settle(conn, row, status=status, at=now()):
            return False
        await promise.settle(conn, row.id, running)
        if moment is not None:
            await promise.charge(conn, row.id, moment)
        await actions.finish(conn, [one.id for one in running], "completed")
    logger.info("settled", server=row.id, status=status)
    await _next_in_turn(context, row)
    return True


def _is_late(row: rows.Row) -> bool:
    return row.deadline_at is not None and row.deadline_at <= now()


def _waits(row: rows.Row) -> bool:
    """Whether it is a create whose turn hasn't come."""
    return row.status == "provisioning" and row.admitted_at is None and row.wanted == "running"


async def _ended(context: Context, row: rows.Row, running: list[Record]) -> bool:
    """End what has taken too long, or what an operator wants ended; returns whether it was. No engine is asked."""
    if _is_late(row):
        await _fail(context, row, running, queue.GIVEN_UP if _waits(row) else TOO_LONG)
        return True
    cancelled = [one for one in running if one.cancelled_for is not None]
    if cancelled:
        await _cancel(context, row, cancelled)
    return bool(cancelled)


async def _next_in_turn(context: Context, row: rows.Row) -> None:
    """Have the next server made in the place of one that was, or wasn't."""
    if row.status == "provisioning":
        await queue.go_on(context.database, context.settings.creates_at_once, row.cell_id)


async def _cancel(context: Context, row: rows.Row, cancelled: list[Record]) -> None:
    """End what an operator wants ended: as if it had failed, with their reason."""
    if (exclusive := next((one for one in cancelled if one.exclusive), None)) is not None:
        await _fail(context, row, [exclusive], exclusive.cancelled_for, ended="cancelled")
        return
    async with context.database.begin() as conn:
        await rows.forget_password(conn, row.id)
        for one in cancelled:
            await actions.finish(conn, [one.id], "cancelled", one.cancelled_for)


async def _fail(
    context: Context, row: rows.Row, running: list[Record], reason: str, *, ended: str = "failed"
) -> None:
    """End in the named state of failure, with a reason; what is wanted from now on is made true next."""
    way = next((found for one in running if (found := transition(one.kind))), None)
    async with context.database.begin() as conn:
        wanted = (way.wanted_if_failed or row.wanted) if way else "stopped"
        status = (way.failed or level(wanted)) if way else "error"
        await rates.lock(conn, row.account_id)
        failed = await rows.fail(
            conn, row, status=status, wanted=wanted, error=reason if status == "error" else None, at=now()
        )
        if failed:
            await promise.put_back(conn, row.id, running, context.settings.hold_hours)
            await actions.finish(conn, [one.id for one in running], ended, reason)
    await _next_in_turn(context, row)
    logger.warning(ended, server=row.id, reason=reason, kinds=[one.kind for one in running])


async def _refuse(context: Context, row: rows.Row, running: list[Record], refusal: Refused) -> None:
    """Fail one action on the side, and no longer want what it asked for."""
    async with context.database.begin() as conn:
        await rows.forget_password(conn, row.id)
        await actions.finish(conn, [one.id for one in running if one.kind == refusal.kind], "failed", str(refusal))
    logger.warning("refused", server=row.id, kind=refusal.kind, reason=str(refusal))
