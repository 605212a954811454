"""Word of changed rows: one connection a process listens to what triggers tell (migration 0003)."""

import asyncio
import contextlib
import itertools
from collections import defaultdict
from collections.abc import AsyncGenerator, Generator

import psycopg

from openvps.core import log
from openvps.core.db import PatientConnection

CHANNEL = "openvps_changes"  # payload: table:id
RECONNECT_S = 2.0

logger = log.get(__name__)


class Changes:
    """Word of changed rows, handed to who waits for one."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._waiters: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._words: defaultdict[str, set[asyncio.Queue[int]]] = defaultdict(set)
        self._listening: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def of(self, subject: str, event: asyncio.Event | None = None) -> AsyncGenerator[asyncio.Event]:
        """Lend an event (or use the given one) that is set when `subject` (`server:12`) changes, or may have."""
        self._begin()
        event = event or asyncio.Event()
        self._waiters[subject].add(event)
        try:
            yield event
        finally:
            self._waiters[subject].discard(event)
            if not self._waiters[subject]:
                del self._waiters[subject]

    @contextlib.contextmanager
    def words(self, table: str) -> Generator[asyncio.Queue[int]]:
        """Lend a queue of the ids that are told of a table; what is told while nobody listens isn't in it."""
        self._begin()
        queue = asyncio.Queue[int]()
        self._words[table].add(queue)
        try:
            yield queue
        finally:
            self._words[table].discard(queue)

    def _begin(self) -> None:
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening

    async def _listen(self) -> None:
        while True:
            try:
                async with await PatientConnection.connect(self._conninfo, autocommit=True) as conn:
                    await conn.execute(f"LISTEN {CHANNEL}".encode())
                    for event in itertools.chain.from_iterable(self._waiters.values()):
                        event.set()  # what was told before is lost: look
                    async for word in conn.notifies():
                        for event in self._waiters.get(word.payload, ()):
                            event.set()
                        table, _, number = word.payload.partition(":")
                        for queue in self._words.get(table, ()):
                            queue.put_nowait(int(number))
            except psycopg.Error as error:
                logger.warning("listening_ended", error=str(error).partition("\n")[0])
            await asyncio.sleep(RECONNECT_S)
