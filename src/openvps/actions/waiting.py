"""Long polls: who asks with `?wait=<s>` is answered when it is done, or when the seconds are over.

One connection a process listens to what triggers tell of changed rows (migration 0003). A waiter holds no connection:
it looks, commits, waits for word, and looks again. Word that was lost costs `LOOK_S`, never an answer.
"""

import asyncio
import contextlib
import itertools
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import TypeVar

import psycopg
from fastapi import Request

from openvps.accounts.auth import authenticate
from openvps.accounts.transaction import Transaction
from openvps.core import log
from openvps.core.db import Connection
from openvps.core.errors import InvalidFields
from openvps.core.query import Parameter

MAX_WAIT_S = 60
LOOK_S = 5.0
CHANNEL = "openvps_changes"  # payload: table:id
RECONNECT_S = 2.0
WAIT = Parameter(
    "wait",
    "Answer when it is done, or after so many seconds at the latest.",
    {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_S, "default": 0},
)

T = TypeVar("T")
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
                async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as conn:
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


def seconds(request: Request) -> int:
    """Read `wait`: how many seconds the answer may take. Raises InvalidFields."""
    text = request.query_params.get("wait", "0")
    if not (text.isascii() and text.isdecimal() and int(text[:9]) <= MAX_WAIT_S):
        raise InvalidFields({"wait": [f"Whole seconds from 0 to {MAX_WAIT_S}."]})
    return int(text)


async def until(
    request: Request,
    transaction: Transaction,
    subject: str,
    look: Callable[[Connection], Awaitable[T]],
    done: Callable[[T], bool],
) -> T:
    """Return what `look` sees: at once, or with `?wait=` when it is `done` or the time is over.

    Raises what `look` raises, and Unauthenticated if the token was revoked meanwhile.
    """
    wait_s = seconds(request)
    if wait_s == 0:
        return await look(await transaction.connection())
    loop = asyncio.get_running_loop()
    end = loop.time() + wait_s
    changes: Changes = request.app.state.changes
    async with changes.of(subject) as changed:
        while True:
            changed.clear()
            found = await look(await transaction.connection())
            left = end - loop.time()
            if left <= 0 or done(found):
                return found
            await transaction.commit()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), min(left, LOOK_S))
            await authenticate(request, await transaction.connection())
