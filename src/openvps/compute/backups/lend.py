"""Lending a stored backup to the cells that want it, as an image there: to be restored from, or to be proved.

An image is made of it once a cell, of nothing but its files, if all of them are what was written; it goes as soon as
nobody wants it.
"""

import asyncio
import contextlib
from datetime import timedelta
from tarfile import TarError

from openvps.compute.backups import proof, queries
from openvps.compute.backups.store import Store, StoreDamaged
from openvps.compute.backups.stream import patiently
from openvps.compute.servers import queries as servers
from openvps.compute.servers.context import AWAY_S, COPIED_S, Context
from openvps.compute.servers.names import machine_name
from openvps.compute.servers.stored import tag
from openvps.core import log
from openvps.core.clock import now
from openvps.engine.protocol import Away, EngineError, Missing

logger = log.get(__name__)

DAMAGED = "The backup can't be read back whole. Nothing was changed. Restore another one, and tell your provider."
LAST_WORDS_S = 5.0  # for restic to say why it ended


async def step(context: Context, row: queries.Row, ids: list[int]) -> None:
    """Lend a backup to whoever wants it, prove it if that is wanted, and take back what nobody wants any more."""
    async with context.database.begin() as conn:
        borrowers = await queries.borrowers(conn, row.id)
    wait_s = AWAY_S if borrowers else 0.0
    for one in borrowers:
        try:
            await _lend(context, row, one.cell_id, machine_name(one.id))
        except StoreDamaged:
            logger.exception("backup_damaged", backup=row.id, server=row.server_id)
            async with context.database.begin() as conn:
                await servers.give_up_restore(conn, one.id, tag(row.id), DAMAGED, now())
        except Missing:  # the machine, of a server that is being made
            wait_s = COPIED_S
        except EngineError as error:
            logger.warning("backup_not_lent", backup=row.id, cell=one.cell_id, error=str(error))
    lent = {one.cell_id for one in borrowers}
    if row.verify_deadline_at is not None and row.verify_cell_id is not None:
        await proof.step(context, row, ids, _lend)
        wait_s = wait_s or COPIED_S
        lent.add(row.verify_cell_id)
    else:
        await proof.clear(context, row)
    for cell_id in row.lent_to:
        if cell_id not in lent:
            await take_back(context, row, cell_id)
    async with context.database.begin() as conn:
        await queries.look_again(conn, row.id, now() + timedelta(seconds=wait_s))
        await queries.rests(conn, row)


async def take_back(context: Context, row: queries.Row, cell_id: int) -> None:
    """Remove a cell's image of a backup. Raises EngineError."""
    engine = context.engines.get(cell_id)
    if engine is None:
        raise Away(f"no engine for cell {cell_id}")
    await patiently(lambda: engine.unpublish(tag(row.id)))
    async with context.database.begin() as conn:
        await queries.returned(conn, row.id, cell_id)


async def _lend(context: Context, row: queries.Row, cell_id: int, machine: str, *, fresh: bool = False) -> str:
    """Have an image of a backup in a cell, with the templates of a machine there; returns its fingerprint.

    Raises Missing where there is no such machine, StoreFailed.
    """
    engine, name = context.engines.get(cell_id), tag(row.id)
    if engine is None:
        raise Away(f"no engine for cell {cell_id}")
    if (there := await engine.published(name)) is not None:
        return there.fingerprint
    async with context.database.begin() as conn:
        await queries.lend(conn, row.id, cell_id)
    async with Store(context.settings, fresh=fresh).read(name) as (file, ended):

        async def whole(digest: str) -> None:
            await ended()
            if row.manifest not in {None, digest}:
                raise StoreDamaged(f"{name} has other files than when it was stored")
            async with context.database.begin() as conn:
                await queries.note(conn, row.id, manifest=digest)

        try:
            await engine.put_back(machine, name, file, whole)
        except (TarError, ValueError) as error:
            with contextlib.suppress(TimeoutError):  # where restic ended early that is why, and it says why it did
                await asyncio.wait_for(ended(), LAST_WORDS_S)
            raise StoreDamaged(f"{name}: {error}") from error
    there = await engine.published(name)
    if there is None:
        raise Away(f"the image of {name} isn't there yet")
    return there.fingerprint
