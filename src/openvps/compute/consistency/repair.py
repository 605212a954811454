"""Mending one finding: each looks at its row again in the transaction that changes it, and may be repeated."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from openvps.actions import queries as actions
from openvps.compute.addresses import queries as addresses
from openvps.compute.consistency import queries
from openvps.compute.consistency.findings import DIFFERS, MISSING, ORPHAN, STUCK, Finding
from openvps.compute.locations import queries as locations
from openvps.compute.servers import rows
from openvps.compute.servers.context import BUSY_S, Context
from openvps.compute.servers.names import machine_name, server_id
from openvps.compute.servers.steps import Sight, spec
from openvps.compute.servers.stored import wake as wake_backup
from openvps.core import jobs
from openvps.core.clock import now
from openvps.core.db import Connection
from openvps.engine.protocol import Away, Busy, Engine
from openvps.ledger import queries as ledger
from openvps.ledger import rates

ENGINE_S = 120.0
GONE = "The snapshot is gone from its server's host."


async def repair(context: Context, finding: Finding) -> None:
    """Mend what was found; nothing where it has mended itself. Raises EngineError, TimeoutError."""
    await REPAIRS[finding.kind, finding.problem](context, finding)


def _engine(context: Context, finding: Finding) -> Engine:
    engine = context.engines.get(finding.cell_id or 0)
    if engine is None:
        raise Away(f"no engine for cell {finding.cell}")
    return engine


async def _until_done(work: Callable[[], Awaitable[object]]) -> None:
    """Have the engine do its work, however busy it is with the same thing."""
    async with asyncio.timeout(ENGINE_S):
        while True:
            with contextlib.suppress(Busy):
                await work()
                return
            await asyncio.sleep(BUSY_S)


async def _machine(context: Context, finding: Finding) -> None:
    """Remove a machine, once it is sure that no row names it."""
    number = server_id(finding.subject)
    if number is not None:
        async with context.database.begin() as conn:
            if (await queries.server_cells(conn, [number])).get(number) == finding.cell_id:
                return
    engine = _engine(context, finding)

    async def away() -> None:
        machine = await engine.look(finding.subject)
        if machine is None:
            return
        if machine.status != "stopped":
            await engine.kill(finding.subject)
        await engine.delete(finding.subject)

    await _until_done(away)


async def _snapshot(context: Context, finding: Finding) -> None:
    machine, _, name = finding.subject.partition("/")
    engine = _engine(context, finding)
    await _until_done(lambda: engine.delete_snapshot(machine, name))


async def _lost_snapshot(context: Context, finding: Finding) -> None:
    async with context.database.begin() as conn:
        await queries.fail_snapshot(conn, int(finding.subject.rpartition("-")[2]), GONE)


async def _image(context: Context, finding: Finding) -> None:
    engine = _engine(context, finding)
    await _until_done(lambda: engine.delete_image(finding.subject))


async def _lost_image(context: Context, finding: Finding) -> None:
    async with context.database.begin() as conn:
        await queries.retire_image(conn, finding.cell_id or 0, finding.subject)


async def _volume(context: Context, finding: Finding) -> None:
    engine = _engine(context, finding)
    await _until_done(lambda: engine.delete_volume(finding.subject))


async def _profile(context: Context, finding: Finding) -> None:
    engine = _engine(context, finding)
    await _until_done(lambda: engine.delete_profile(finding.subject))


async def _wake_server(conn: Connection, number: int) -> None:
    await queries.look_now(conn, "server", number)
    await jobs.defer(conn, jobs.CONVERGE_SERVER, f"server:{number}", priority=jobs.SWEEP, server_id=number)


async def _server(context: Context, finding: Finding) -> None:
    async with context.database.begin() as conn:
        await _wake_server(conn, int(finding.subject))


async def _copy(context: Context, finding: Finding) -> None:
    async with context.database.begin() as conn:
        await queries.look_now(conn, finding.kind, int(finding.subject))
        if finding.kind == "backup":
            await wake_backup(conn, int(finding.subject), priority=jobs.SWEEP)


async def _addresses_of_machine(context: Context, finding: Finding) -> None:
    """Write a machine's devices from its row."""
    number = server_id(finding.subject) or 0
    async with context.database.begin() as conn:
        row = await rows.row(conn, number)
        if row is None:
            return
        cell = await locations.cell_row(conn, row.cell_id)
        own = await addresses.of_server(conn, number)
    engine = _engine(context, finding)

    async def configured() -> None:
        machine = await engine.look(machine_name(number))
        if machine is not None:
            wanted = spec(Sight(row, cell, own, [], machine, engine, context))
            await engine.configure(machine_name(number), wanted)

    await _until_done(configured)


async def _stray_address(context: Context, finding: Finding) -> None:
    async with context.database.begin() as conn:
        await queries.free_address(conn, finding.subject)


async def _missing_address(context: Context, finding: Finding) -> None:
    async with context.database.begin() as conn:
        await addresses.take_v4(conn, cell_id=finding.cell_id or 0, server_id=int(finding.subject), at=now())


async def _hold(context: Context, finding: Finding) -> None:
    async with context.database.begin() as conn:
        if finding.subject in await queries.stray_holds(conn):
            await ledger.release(conn, finding.subject)


async def _meter(context: Context, finding: Finding) -> None:
    number = int(finding.subject)
    async with context.database.begin() as conn:
        account_id = await queries.account_of(conn, number)
        if account_id is not None and number in await queries.stray_meters(conn):
            await rates.end(conn, number, await rates.lock(conn, account_id))


async def _action(context: Context, finding: Finding) -> None:
    async with context.database.begin() as conn:
        await actions.finish(conn, [int(finding.subject)], "cancelled", queries.OVERDUE)


async def _stuck_action(context: Context, finding: Finding) -> None:
    async with context.database.begin() as conn:
        for one in await queries.stray_actions(conn):
            if str(one.id) == finding.subject and not one.gone:
                subject = one.kind.partition(".")[0]
                if subject == "server":
                    await _wake_server(conn, one.subject_id)
                else:
                    await actions.finish(conn, [one.id], "cancelled", queries.OVERDUE)


async def _job(context: Context, finding: Finding) -> None:
    async with context.database.begin() as conn:
        await queries.remove_job(conn, int(finding.subject))


async def _room(context: Context, finding: Finding) -> None:
    async with context.database.begin() as conn:
        await queries.count_room(conn, finding.cell_id or 0)


REPAIRS: dict[tuple[str, str], Callable[[Context, Finding], Awaitable[None]]] = {
    ("machine", ORPHAN): _machine,
    ("snapshot", ORPHAN): _snapshot,
    ("snapshot", MISSING): _lost_snapshot,
    ("snapshot", STUCK): _copy,
    ("backup", STUCK): _copy,
    ("image", ORPHAN): _image,
    ("image", MISSING): _lost_image,
    ("volume", ORPHAN): _volume,
    ("profile", ORPHAN): _profile,
    ("server", MISSING): _server,
    ("server", STUCK): _server,
    ("address", DIFFERS): _addresses_of_machine,
    ("address", ORPHAN): _stray_address,
    ("address", MISSING): _missing_address,
    ("hold", ORPHAN): _hold,
    ("meter", ORPHAN): _meter,
    ("action", ORPHAN): _action,
    ("action", STUCK): _stuck_action,
    ("job", ORPHAN): _job,
    ("room", DIFFERS): _room,
}
