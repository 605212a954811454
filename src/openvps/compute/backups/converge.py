"""Making a backup what its row wants, stored or gone: each step looks first, so each may be repeated.

Stored: a snapshot of the server, an image made of it by the engine, which streams it, into the store as it comes.
Snapshot and image go again whatever happened. What is in the store under the backup's name is whole.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from tarfile import TarError

from openvps.actions import queries as actions
from openvps.compute.backups import queries
from openvps.compute.backups.store import Store, StoreFailed
from openvps.compute.backups.wake import tag, wake
from openvps.compute.servers import queries as servers
from openvps.compute.servers.converge import AWAY_S, BUSY_S, Context, machine_name
from openvps.core import jobs, log
from openvps.core.clock import now
from openvps.engine.protocol import Away, Busy, Engine, EngineError, ImageOfDisk, Missing

logger = log.get(__name__)

AGAIN_S = 60.0  # after a store failed
DAMAGED = "The backup can't be read back whole. The server is as it was. Restore another one, and tell your provider."
ENGINE_S = 5400.0  # for the image of one disk


class _GivenUp(Exception):
    """It can't be done; the text is for the customer."""


async def sweep(context: Context) -> None:
    """Have every backup that is due looked at."""
    async with context.database.begin() as conn:
        for number in await queries.due(conn, now()):
            await wake(conn, number, priority=jobs.SWEEP)


async def converge(context: Context, backup_id: int) -> None:
    """Have a backup stored or forgotten, or leave word when to look again."""
    async with context.database.begin() as conn:
        row = await queries.row(conn, backup_id)
        if row is None:
            return
        running = await actions.unfinished(conn, backup_id, "backup")
        await actions.progressed(conn, running, 0)
    ids = [one.id for one in running]
    try:
        await _step(context, row, ids)
    except _GivenUp as failure:
        await _fail(context, row, ids, str(failure))
    except (EngineError, StoreFailed) as error:
        logger.warning("backup_failed", backup=backup_id, error=str(error), kind=type(error).__name__)
        wait_s = AGAIN_S if isinstance(error, StoreFailed) else AWAY_S
        async with context.database.begin() as conn:
            await queries.look_again(conn, backup_id, now() + timedelta(seconds=wait_s))


async def _step(context: Context, row: queries.Row, ids: list[int]) -> None:
    store, name = Store(context.settings), tag(row.id)
    if row.wanted == "present" and row.status != "in_progress":
        await _lend(context, row, store)
        return
    if row.wanted == "absent":
        await store.open()
        await _clear(context, row)
        await store.forget(name)
        async with context.database.begin() as conn:
            await queries.remove(conn, row.id)
            await actions.finish(conn, ids, "completed")
        return
    if row.deadline_at is not None and row.deadline_at <= now():
        raise _GivenUp("It took too long and was given up.")
    await store.open()
    image = None
    if await store.find(name) is None:
        image = await _image(context, row)
        await store.write(name, machine_name(row.server_id), _from(_engine(context, row), image))
    await _clear(context, row)
    async with context.database.begin() as conn:
        if await queries.settle(conn, row, status="completed", size_bytes=image.size_bytes if image else None):
            await actions.finish(conn, ids, "completed")
            logger.info("backup_stored", backup=row.id, server=row.server_id)


async def _lend(context: Context, row: queries.Row, store: Store) -> None:
    """While the server is restored from a backup its cell has an image made of it; afterwards no more."""
    name = tag(row.id)
    if row.restore_from != name:
        await _clear(context, row)
        async with context.database.begin() as conn:
            await queries.rests(conn, row)
        return
    engine = _engine(context, row)
    if await engine.published(name) is None:
        stored = await store.find(name)
        try:
            async with store.read(stored) as (file, whole):
                await engine.put_back(machine_name(row.server_id), name, file, whole)
        except (StoreFailed, TarError, ValueError):
            logger.exception("backup_damaged", backup=row.id, server=row.server_id)
            async with context.database.begin() as conn:
                await servers.give_up_restore(conn, row.server_id, name, DAMAGED, now())
    async with context.database.begin() as conn:
        await queries.look_again(conn, row.id, now() + timedelta(seconds=AWAY_S))


async def _fail(context: Context, row: queries.Row, ids: list[int], reason: str) -> None:
    with contextlib.suppress(EngineError):
        await _clear(context, row)
    async with context.database.begin() as conn:
        if await queries.settle(conn, row, status="failed", error=reason):
            await actions.finish(conn, ids, "failed", reason)
    logger.warning("backup_given_up", backup=row.id, server=row.server_id, reason=reason)


def _engine(context: Context, row: queries.Row) -> Engine:
    if row.cell_id is None:
        raise _GivenUp("The server was deleted before its backup was stored.")
    engine = context.engines.get(row.cell_id)
    if engine is None:
        raise Away(f"no engine for cell {row.cell_id}")
    return engine


async def _image(context: Context, row: queries.Row) -> ImageOfDisk:
    """Have the engine make an image of the server's disk as it is now."""
    engine, machine, name = _engine(context, row), machine_name(row.server_id), tag(row.id)
    try:
        async with asyncio.timeout(ENGINE_S):
            while True:
                with contextlib.suppress(Busy):
                    await engine.snapshot(machine, name)
                    return await engine.publish(machine, name)
                await asyncio.sleep(BUSY_S)
    except Missing as error:
        raise _GivenUp("The server's disk isn't there.") from error
    except TimeoutError as error:
        raise _GivenUp("Reading the server's disk took too long.") from error


def _from(engine: Engine, image: ImageOfDisk) -> Callable[[Path], Awaitable[None]]:
    async def feed(file: Path) -> None:
        await engine.export_image(image.fingerprint, file)

    return feed


async def _clear(context: Context, row: queries.Row) -> None:
    """Remove what a backup needed in the engine; nothing there is fine, and so is no server."""
    if row.cell_id is None or (engine := context.engines.get(row.cell_id)) is None:
        return
    while True:
        with contextlib.suppress(Busy):
            await engine.unpublish(tag(row.id))
            await engine.delete_snapshot(machine_name(row.server_id), tag(row.id))
            return
        await asyncio.sleep(BUSY_S)
