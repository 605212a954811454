"""Making a backup what its row wants, stored or gone: each step looks first, so each may be repeated.

Stored: a snapshot of the server, an image made of it by the engine, which streams it, into the store as it comes.
Snapshot and image go again whatever happened. What is in the store under the backup's name is whole if the row has
its manifest, which is noted before restic hears the end.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import IO

from openvps.actions import queries as actions
from openvps.actions.endings import ending
from openvps.compute.backups import failures, lend, proof, queries
from openvps.compute.backups.store import Store, StoreBusy, StoreDamaged, StoreFailed
from openvps.compute.backups.stream import patiently, read
from openvps.compute.servers.context import AWAY_S, Context
from openvps.compute.servers.names import machine_name
from openvps.compute.servers.stored import tag, wake
from openvps.core import jobs, log
from openvps.core.clock import now
from openvps.core.db import Record
from openvps.engine import manifest
from openvps.engine.protocol import Away, Claim, Engine, EngineError, ImageOfDisk, Missing, TooMuch

logger = log.get(__name__)

AGAIN_S = 60.0  # after a store failed
FREE_S = 10.0  # after it was in use
ENGINE_S = 5400.0  # for the image of one disk
GB = 10**9
CLAIM_MOST, CLAIM_LEAST_GB = 2, 100  # times the server's disk that its files may claim, and what they always may
SYNC = ("sync", "-f", "/")  # of the server's own file system, not of all the host's


class _GivenUp(Exception):
    """It can't be done, or isn't to be; the text is for the customer."""

    def __init__(self, reason: str, status: str = "failed") -> None:
        super().__init__(reason)
        self.status = status


async def sweep(context: Context) -> None:
    """Have every backup that is due looked at."""
    async with context.database.begin() as conn:
        for one in sorted(await queries.due(conn, now()), key=lambda one: one.id):
            await wake(conn, one.id, making_in=one.making_in, priority=jobs.SWEEP)


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
        await _step(context, row, running)
    except _GivenUp as failure:
        await _fail(context, row, ids, failure)
    except (EngineError, StoreFailed) as error:
        logger.warning("backup_delayed", backup=backup_id, error=str(error), kind=type(error).__name__)
        wait_s = AWAY_S
        if isinstance(error, StoreFailed):
            wait_s = FREE_S if isinstance(error, StoreBusy) else AGAIN_S
        async with context.database.begin() as conn:
            await queries.look_again(conn, backup_id, now() + timedelta(seconds=wait_s))
            if isinstance(error, StoreFailed) and row.status == "in_progress":
                await queries.note(conn, backup_id, error=error.told)


async def _step(context: Context, row: queries.Row, running: list[Record]) -> None:
    ids = [one.id for one in running]
    if row.wanted == "absent":
        await _forget(context, row, ids)
    elif row.status == "in_progress":
        if (end := ending(running, row.deadline_at, now())) is not None:
            why = [row.error] if row.error and end.status == "failed" else []
            raise _GivenUp(" ".join([end.reason, *why]), end.status)
        await _make(context, row, ids)
    else:
        await lend.step(context, row, ids)


async def _make(context: Context, row: queries.Row, ids: list[int]) -> None:
    store, name = Store(context.settings), tag(row.id)
    async with context.database.begin() as conn:
        first = not await queries.any_stored(conn)
    try:
        await store.open(first=first)
        found = await store.find(name)
        if found is None or row.manifest is None:  # or of a worker that died while it wrote: cut off
            image = await _image(context, row)
            if found is not None:
                await store.forget(name)
            async with context.database.begin() as conn:
                await queries.note(conn, row.id, manifest=None)
            await store.write(name, machine_name(row.server_id), _from(context, row, image))
    except StoreDamaged as error:  # no waiting mends that
        logger.exception("store_damaged", backup=row.id)
        raise _GivenUp(error.told) from error
    await _clear(context, row)
    async with context.database.begin() as conn:
        if await queries.settle(conn, row, status="completed"):
            await actions.finish(conn, ids, "completed")
            logger.info("backup_stored", backup=row.id, server=row.server_id)


async def _forget(context: Context, row: queries.Row, ids: list[int]) -> None:
    store = Store(context.settings)
    await _clear(context, row)
    await proof.clear(context, row)
    for cell_id in row.lent_to:
        await lend.take_back(context, row, cell_id)
    async with context.database.begin() as conn:
        first = not await queries.any_stored(conn)
    await store.open(first=first)
    await store.forget(tag(row.id))
    async with context.database.begin() as conn:
        await queries.remove(conn, row.id)
        await queries.note_turn(conn, queries.FORGOTTEN, now())
        await actions.finish(conn, ids, "completed")


async def _fail(context: Context, row: queries.Row, ids: list[int], failure: _GivenUp) -> None:
    reason = str(failure)
    with contextlib.suppress(EngineError):
        await _clear(context, row)
    async with context.database.begin() as conn:
        if await queries.settle(conn, row, status="failed", error=reason):
            await actions.finish(conn, ids, failure.status, reason)
            await failures.tell(conn, row, failures.FAILED, reason)


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
    if (there := await engine.published(name)) is None:
        # What the server's programs have written is on the disk that is kept; one that doesn't answer is kept as is.
        with contextlib.suppress(EngineError):
            await engine.run(machine, SYNC)
    try:
        async with asyncio.timeout(ENGINE_S):
            await patiently(lambda: engine.snapshot(machine, name))
            if there is None:
                _check(row, await patiently(lambda: engine.claim(machine, name)))
            return await patiently(lambda: engine.publish(machine, name))
    except Missing as error:
        raise _GivenUp("The server's disk isn't there.") from error
    except TooMuch as error:
        raise _GivenUp(f"The server has too many files: {error}.") from error
    except TimeoutError as error:
        raise _GivenUp("Reading the server's disk took too long.") from error


def _check(row: queries.Row, claim: Claim) -> None:
    """Give up what would be read for days: a file may claim to be any size, and have nothing in it."""
    most_gb = max(CLAIM_MOST * (row.storage_gb or 0), CLAIM_LEAST_GB)
    if claim.size_bytes > most_gb * GB:
        raise _GivenUp(
            f"The server's files claim {claim.size_bytes / GB:,.0f} GB, holes and all; at most {most_gb} GB of it are"
            f" backed up. The largest, {claim.largest}, claims {claim.largest_bytes / GB:,.0f} GB."
        )


def _from(context: Context, row: queries.Row, image: ImageOfDisk) -> Callable[[int], Awaitable[None]]:
    """Return what writes an image into the store, and its manifest into the row before that is whole."""

    async def feed(out: int) -> None:
        def passed(source: IO[bytes]) -> tuple[str, int]:
            with os.fdopen(os.dup(out), "wb") as sink:
                return manifest.pass_on(source, sink)

        digest, size_bytes = await read(_engine(context, row), image.fingerprint, passed)
        async with context.database.begin() as conn:
            await queries.note(conn, row.id, manifest=digest, size_bytes=size_bytes)

    return feed


async def _clear(context: Context, row: queries.Row) -> None:
    """Remove what making a backup needed in the engine; nothing there is fine, and so is no server."""
    if row.cell_id is None or (engine := context.engines.get(row.cell_id)) is None:
        return
    await patiently(lambda: engine.delete(tag(row.id)))
    await patiently(lambda: engine.unpublish(tag(row.id)))
    await patiently(lambda: engine.delete_snapshot(machine_name(row.server_id), tag(row.id)))
