"""Making a snapshot what its row wants, kept or gone: each look asks the engine, so each may be repeated.

It runs under its server's lock, so that no snapshot is taken in the middle of a restore.
"""

import asyncio
import contextlib
from datetime import timedelta

from openvps.actions import queries as actions
from openvps.actions.endings import ending
from openvps.compute.servers.context import AWAY_S, BUSY_S, Context
from openvps.compute.servers.names import machine_name
from openvps.compute.snapshots import queries
from openvps.compute.snapshots.wake import engine_name, wake
from openvps.core import jobs, log
from openvps.core.clock import now
from openvps.engine.protocol import Away, Busy, Engine, EngineError

logger = log.get(__name__)


async def sweep(context: Context) -> None:
    """Have every snapshot that is due looked at."""
    async with context.database.begin() as conn:
        for one in sorted(await queries.due(conn, now()), key=lambda one: one.id):
            await wake(conn, one.id, one.server_id, priority=jobs.SWEEP)


async def converge(context: Context, snapshot_id: int, *, patience_s: float = 30.0) -> None:
    """Have the engine keep or forget a snapshot, or leave word when to look again."""
    started = now()
    while True:
        try:
            if await _look_once(context, snapshot_id):
                return
            wait_s = 0.0
        except Busy:
            wait_s = BUSY_S
        except EngineError as error:
            logger.warning("engine_failed", snapshot=snapshot_id, error=str(error), kind=type(error).__name__)
            wait_s = AWAY_S
        if wait_s >= AWAY_S or now() - started > timedelta(seconds=patience_s):
            async with context.database.begin() as conn:
                await queries.look_again(conn, snapshot_id, now() + timedelta(seconds=wait_s))
            return
        await asyncio.sleep(wait_s)


async def _look_once(context: Context, snapshot_id: int) -> bool:
    """Look, and do the next thing; True when there is nothing more to do."""
    async with context.database.begin() as conn:
        row = await queries.row(conn, snapshot_id)
        if row is None or (row.wanted == "present" and row.status != "in_progress"):
            return True
        running = await actions.unfinished(conn, snapshot_id, "snapshot")
        await actions.progressed(conn, running, 0)
    ids = [one.id for one in running]
    if row.wanted == "present" and (end := ending(running, row.deadline_at, now())) is not None:
        with contextlib.suppress(EngineError):  # what an engine that is away kept of it all the same, the audit finds
            await _forget(context, row)
        async with context.database.begin() as conn:
            if await queries.settle(conn, row, status="failed", error=end.reason):
                await queries.give_up(conn, row)
                await actions.finish(conn, ids, end.status, end.reason)
        return True
    if row.wanted == "absent":
        await _forget(context, row)
        async with context.database.begin() as conn:
            await queries.remove(conn, row)
            await actions.finish(conn, ids, "completed")
        return True
    async with context.gate(row.cell_id).place():
        made = await _engine(context, row).snapshot(machine_name(row.server_id), engine_name(row.id))
    async with context.database.begin() as conn:
        if not await queries.settle(conn, row, status="completed", size_bytes=made.size_bytes):
            return False  # it was deleted meanwhile
        await actions.finish(conn, ids, "completed")
    logger.info("snapshot_kept", snapshot=row.id, server=row.server_id)
    return True


async def _forget(context: Context, row: queries.Row) -> None:
    async with context.gate(row.cell_id).place():
        await _engine(context, row).delete_snapshot(machine_name(row.server_id), engine_name(row.id))


def _engine(context: Context, row: queries.Row) -> Engine:
    engine = context.engines.get(row.cell_id)
    if engine is None:
        raise Away(f"no engine for cell {row.cell_id}")
    return engine
