"""The cells of the table `cell`, each with an engine of its own, opened and closed as rows come, change and go.

Two tasks a cell: one asks whether it is there and looks at it in turns, one follows its events. No cell waits for
another: what hangs is its own task, its own connections and its own gate.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from openvps.compute.locations import queries as locations
from openvps.compute.servers import watch
from openvps.compute.servers.context import Context
from openvps.core import log
from openvps.core.db import Record
from openvps.engine.incus.reach import open_cell, ping
from openvps.engine.protocol import Away, Engine, EngineError

logger = log.get(__name__)

REREAD_S = 3.0  # how long a new cell waits to be noticed
PROBE_S = 3.0  # between questions to a cell that is away
RECONNECT_S = (0.5, 1, 2, 5, 10)  # the event stream's back-off
REACHED_BY = ("socket", "members", "certificate", "project", "pool")

TakeTurn = Callable[[str, float], Awaitable[bool]]


@dataclass(frozen=True)
class Kept:
    """A cell that is open: how it is reached, and what is done for it."""

    reached_by: str
    engine: Engine
    tasks: list[asyncio.Task[None]]


class Cells:
    """Keeps `engines` as the table says."""

    def __init__(self, context: Context, engines: dict[int, Engine], take_turn: TakeTurn) -> None:
        self._context = context
        self._engines = engines
        self._take_turn = take_turn
        self._kept: dict[int, Kept] = {}

    async def keep(self) -> None:
        """Follow the table until cancelled, then close every engine."""
        try:
            while True:
                try:
                    await self.reread()
                except Exception:  # the database may be away
                    logger.exception("cells_not_read")
                await asyncio.sleep(REREAD_S)
        finally:
            for cell_id in list(self._kept):
                await self._close(cell_id)

    async def reread(self) -> None:
        """Open the cells that are new, close those that are gone; one that is reached otherwise now is both."""
        async with self._context.database.begin() as conn:
            rows = {row.id: row for row in await locations.cells(conn)}
        for cell_id, kept in list(self._kept.items()):
            if cell_id not in rows or _reached_by(rows[cell_id]) != kept.reached_by:
                await self._close(cell_id)
        for cell_id, row in rows.items():
            if cell_id not in self._kept:
                try:
                    self._open(row)
                except OSError as error:  # also what SSL can't read
                    logger.warning("cell_not_opened", cell=row.name, error=str(error))

    def _open(self, row: Record) -> None:
        engine = open_cell(self._context.settings, row)
        self._engines[row.id] = engine
        tasks = [asyncio.create_task(work) for work in (self._watch(row.id, engine), self._events(row.id, engine))]
        self._kept[row.id] = Kept(_reached_by(row), engine, tasks)
        logger.info("cell_opened", cell=row.name)

    async def _close(self, cell_id: int) -> None:
        kept = self._kept.pop(cell_id)
        del self._engines[cell_id]
        for task in kept.tasks:
            task.cancel()
        await asyncio.gather(*kept.tasks, return_exceptions=True)
        await kept.engine.close()

    async def _watch(self, cell_id: int, engine: Engine) -> None:
        """Ask whether the cell is there, and look at it when it is our turn, or when it has come back."""
        context, gate = self._context, self._context.gate(cell_id)
        interval_s = context.settings.sample_interval_s
        while True:
            try:
                with gate.asking():
                    await ping(engine)
                async with context.database.begin() as conn:
                    await locations.seen(conn, cell_id)
                if gate.shut is not None:
                    logger.warning("cell_back", cell=cell_id)
                    gate.shut = None
                    await watch.look_at_cell(context, cell_id)
                elif await self._take_turn(f"cell:{cell_id}", interval_s):
                    await watch.look_at_cell(context, cell_id)
            except Away as error:
                if gate.shut is None:
                    logger.warning("cell_away", cell=cell_id, error=str(error))
                gate.shut = str(error)
                with contextlib.suppress(Exception):  # the database may be away too
                    async with context.database.begin() as conn:
                        await locations.away(conn, cell_id, str(error))
            except EngineError as error:
                logger.warning("engine_failed", cell=cell_id, error=str(error), kind=type(error).__name__)
            except Exception:
                logger.exception("watcher_failed", cell=cell_id)
            if gate.shut is None:
                await gate.suspected(interval_s)
            else:
                await asyncio.sleep(PROBE_S)

    async def _events(self, cell_id: int, engine: Engine) -> None:
        """Follow the engine's events; reconnect with back-off."""
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await watch.follow_events(self._context, cell_id, engine)
            except EngineError as error:
                logger.warning("events_ended", cell=cell_id, error=str(error))
                self._context.gate(cell_id).suspect()
            except Exception:
                logger.exception("events_failed", cell=cell_id)
            if asyncio.get_running_loop().time() - began > RECONNECT_S[-1]:
                failures = 0
            await asyncio.sleep(RECONNECT_S[min(failures, len(RECONNECT_S) - 1)])
            failures += 1


def _reached_by(row: Record) -> str:
    return repr([getattr(row, name) for name in REACHED_BY])
