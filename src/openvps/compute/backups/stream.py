"""Waiting for the engine within one job, and reading an image of it as it comes, without a file of it."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, TypeVar

from openvps.compute.servers.converge import BUSY_S
from openvps.engine.protocol import Busy, Engine

T = TypeVar("T")


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Do something with the engine, again while it is busy with it."""
    while True:
        try:
            return await work()
        except Busy:
            await asyncio.sleep(BUSY_S)


async def read(engine: Engine, fingerprint: str, work: Callable[[IO[bytes]], T]) -> T:
    """Have `work` read an image of the engine, in a thread. Raises EngineError, and what `work` raises."""
    reading, writing = os.pipe()

    def worked() -> T:
        with os.fdopen(reading, "rb") as source:
            return work(source)

    working = asyncio.create_task(asyncio.to_thread(worked))
    try:
        await engine.export_image(fingerprint, Path(f"/proc/self/fd/{writing}"))
    except BrokenPipeError:
        pass  # it reads no more, and says why
    except BaseException:
        os.close(writing)
        await asyncio.gather(working, return_exceptions=True)
        raise
    os.close(writing)
    return await working
