"""The gate to a cell: no cell's slowness or absence is another's.

Looks at servers share one pool of jobs. So each cell has places of its own in it, and one that doesn't answer gives
its places back: who asks at a shut gate is told so at once, instead of waiting for the engine's silence to end.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from openvps.engine.protocol import Away, Busy

PLACES = 32  # looks at once; they mostly wait for the engine
QUEUE_S = 1.0  # how long a look waits for a place before it goes back to the end of the line
DOUBT_S = 1.0  # a cell that takes longer to say that it is there is full enough


class Gate:
    """Whether a cell answers, as this process knows, and how many looks it has under way."""

    def __init__(self) -> None:
        self.shut: str | None = None  # why nobody is let through
        self._places = asyncio.Semaphore(PLACES)
        self._asked_at: float | None = None
        self._suspected = asyncio.Event()

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Hold a place for one look. Raises Away at a shut gate, Busy where there is no place to be had."""
        self._refuse()
        try:
            async with asyncio.timeout(QUEUE_S):
                await self._places.acquire()
        except TimeoutError as error:
            self.suspect()
            if self._asked_at is not None and time.monotonic() - self._asked_at > DOUBT_S:
                raise Away("the cell has enough to do, and doesn't say that it is there") from error
            raise Busy("the cell has enough to do") from error
        try:
            self._refuse()
            yield
        except Away:
            self.suspect()
            raise
        finally:
            self._places.release()

    @contextmanager
    def asking(self) -> Generator[None]:
        """Note that the cell is being asked whether it is there."""
        self._asked_at = time.monotonic()
        try:
            yield
        finally:
            self._asked_at = None

    def suspect(self) -> None:
        """Have the cell asked soon whether it is there."""
        self._suspected.set()

    async def suspected(self, within_s: float) -> None:
        """Wait until somebody suspects that the cell is away, or for `within_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._suspected.wait()
        self._suspected.clear()

    def _refuse(self) -> None:
        if self.shut is not None:
            raise Away(self.shut)
