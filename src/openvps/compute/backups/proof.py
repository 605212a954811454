"""The proof that a backup can be restored: a throw-away machine gets its disk, is compared, boots, and goes.

It has no network interface at all, little memory, and a name that is no server's. Its disk is compared before its
first start, by what was noted of every file while the backup was stored. Each step looks first: who dies is followed
by another worker, in the same cell, and machine and image go whatever was found.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from tempfile import TemporaryFile
from typing import IO

from openvps.actions import queries as actions
from openvps.actions.endings import TOO_LONG
from openvps.compute.backups import failures, queries
from openvps.compute.backups.store import Store, StoreDamaged
from openvps.compute.backups.stream import patiently, read
from openvps.compute.servers.context import BUSY_S, Context
from openvps.compute.servers.readiness import LISTENS
from openvps.compute.servers.stored import tag
from openvps.compute.systems import queries as systems
from openvps.core import log
from openvps.core.clock import now
from openvps.engine import manifest
from openvps.engine.protocol import RESTORING, Away, Busy, Engine, EngineError, MachineSpec

logger = log.get(__name__)

BOOT_S = 180.0
VCPUS, MEMORY_MIB, STORAGE_GB = 1, 512, 40
GIVEN, COMPARED = "given", "compared"  # marks of the machine
UP = ("systemctl", "is-active", "--quiet", "multi-user.target")  # where sshd is off

Lend = Callable[..., Awaitable[str]]


class _NotProved(Exception):
    """It can't be restored as it was; the text is for the customer."""


def machine_name(backup_id: int) -> str:
    """Return the name of the throw-away machine; no server's is like it."""
    return f"verify-{backup_id}"


async def step(context: Context, row: queries.Row, ids: list[int], lend: Lend) -> None:
    """Prove a backup, from wherever it was left. Raises EngineError and StoreFailed where that can be later."""
    if row.verify_deadline_at is not None and row.verify_deadline_at <= now():
        await _end(context, row, ids, TOO_LONG)
        return
    try:
        await _prove(context, row, lend)
    except _NotProved as failure:
        await _end(context, row, ids, str(failure))
    except StoreDamaged as error:
        logger.exception("backup_damaged", backup=row.id, server=row.server_id)
        await _end(context, row, ids, f"It can't be read back whole: tell your provider. ({error.told})")
    else:
        await _end(context, row, ids, None)


async def clear(context: Context, row: queries.Row) -> None:
    """Remove the throw-away machine, and the images of it; nothing there is fine. Raises EngineError."""
    if row.verify_cell_id is None:
        return
    engine, name = _engine(context, row), machine_name(row.id)
    await patiently(lambda: engine.unpublish(name))
    if await patiently(lambda: engine.look(name)) is not None:
        await patiently(lambda: engine.kill(name))
        await patiently(lambda: engine.delete(name))
    async with context.database.begin() as conn:
        await queries.note(conn, row.id, verify_cell_id=None)


async def _end(context: Context, row: queries.Row, ids: list[int], reason: str | None) -> None:
    """Say how it ended; what it needed goes with the next look."""
    at = now()
    found = {"verify_error": reason, "verify_deadline_at": None}
    found |= {"verified_at": at} if reason is None else {"verify_failed_at": at}
    async with context.database.begin() as conn:
        await queries.note(conn, row.id, **found)
        await actions.finish(conn, ids, "completed" if reason is None else "failed", reason)
        if reason is not None:
            await failures.tell(conn, row, failures.UNPROVED, reason)
    if reason is None:
        logger.info("backup_verified", backup=row.id, server=row.server_id)


async def _prove(context: Context, row: queries.Row, lend: Lend) -> None:
    engine, name = _engine(context, row), machine_name(row.id)
    machine = await patiently(lambda: engine.look(name))
    if machine is None:
        spec = await _spec(context, row)
        await patiently(lambda: engine.create(spec, start=False))
        machine = await patiently(lambda: engine.look(name))
    marks: Mapping[str, str] = machine.marks if machine else {}
    if GIVEN not in marks:
        image = await lend(context, row, row.verify_cell_id, name, fresh=True)
        await engine.mark(name, RESTORING, "1")
        while not await patiently(lambda: _is_given(engine, name)):
            with contextlib.suppress(Busy):  # it goes on in the engine
                await engine.rebuild(name, image)
        await engine.mark(name, GIVEN, "1")
    if COMPARED not in marks:
        await _compare(context, row, engine)
        await engine.mark(name, COMPARED, "1")
    await patiently(lambda: engine.start(name))
    try:
        async with asyncio.timeout(BOOT_S):
            while not await _is_up(engine, name):  # noqa: ASYNC110 -- what is waited for is another machine
                await asyncio.sleep(BUSY_S)
    except TimeoutError as error:
        raise _NotProved(f"Its files are as they were, but its system isn't up after {BOOT_S:.0f} s.") from error


async def _is_given(engine: Engine, name: str) -> bool:
    """Whether the machine has been given its disk: a mark that was set before is gone then. Raises Busy."""
    machine = await engine.look(name)
    return machine is not None and RESTORING not in machine.marks


async def _spec(context: Context, row: queries.Row) -> MachineSpec:
    """Return the machine: of any of our images, since it is given the backup's disk before it starts."""
    async with context.database.begin() as conn:
        image = await systems.any_image(conn, row.verify_cell_id or 0, row.system_id)
    if image is None:
        raise Away("the cell has no image")
    return MachineSpec(
        name=machine_name(row.id),
        image=image.fingerprint,
        vcpus=VCPUS,
        memory_mib=MEMORY_MIB,
        storage_gb=row.storage_gb or STORAGE_GB,
        hostname=machine_name(row.id),
        addresses=(),
        nic="",
    )


async def _compare(context: Context, row: queries.Row, engine: Engine) -> None:
    """Compare the disk that was restored with what was noted when it was stored. Raises _NotProved."""
    name = machine_name(row.id)
    async with context.database.begin() as conn:
        fresh = await queries.row(conn, row.id)
    noted = fresh.manifest if fresh else None
    await patiently(lambda: engine.snapshot(name, name))
    image = await patiently(lambda: engine.publish(name, name))
    with TemporaryFile() as lines:
        digest, _ = await read(engine, image.fingerprint, lambda source: manifest.digest_of(source, lines))
        if digest != noted:
            lines.seek(0)
            path = await _first_difference(context, row, lines)
            raise _NotProved(f"It was not restored as it was stored: {path or 'its list of files'} differs.")
    await patiently(lambda: engine.unpublish(name))
    await patiently(lambda: engine.delete_snapshot(name, name))


async def _first_difference(context: Context, row: queries.Row, present: IO[bytes]) -> str | None:
    with TemporaryFile() as lines:
        async with Store(context.settings, fresh=True).read(tag(row.id)) as (file, ended):
            await asyncio.to_thread(manifest.copy_lines, file, lines)
            await ended()
        lines.seek(0)
        return await asyncio.to_thread(manifest.first_difference, lines, present)


async def _is_up(engine: Engine, name: str) -> bool:
    """Whether the machine's system is up: its sshd listens, or its init says so."""
    with contextlib.suppress(EngineError):
        return await engine.run(name, LISTENS) == 0 or await engine.run(name, UP) == 0
    return False


def _engine(context: Context, row: queries.Row) -> Engine:
    engine = context.engines.get(row.verify_cell_id or 0)
    if engine is None:
        raise Away(f"no engine for cell {row.verify_cell_id}")
    return engine
