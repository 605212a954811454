"""Waiting for the engine within one job, and reading an image of it as it comes, without a file of it."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, TypeVar

from openvps.compute.servers.context import BUSY_S
from openvps.engine.protocol import Away, Busy, Engine, EngineError

T = TypeVar("T")

# What isn't compressed is passed on as it is: made by somebody else, or before we had it compressed.
DECOMPRESS = ("zstd", "--decompress", "--stdout", "--force", "--quiet")


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Do something with the engine, again while it is busy with it."""
    while True:
        try:
            return await work()
        except Busy:
            await asyncio.sleep(BUSY_S)


async def read(engine: Engine, fingerprint: str, work: Callable[[IO[bytes]], T]) -> T:
    """Have `work` read an image that the engine made of a disk, in a thread, as tarball.

    Raises EngineError, and what `work` raises.
    """
    compressed, into = os.pipe()
    tarball, out = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(*DECOMPRESS, stdin=compressed, stdout=out)
    except BaseException as error:
        for end in (into, tarball):
            os.close(end)
        if isinstance(error, FileNotFoundError):
            raise EngineError("zstd isn't installed") from error
        raise
    finally:
        os.close(compressed)
        os.close(out)

    def worked() -> T:
        with os.fdopen(tarball, "rb") as source:
            return work(source)

    working = asyncio.create_task(asyncio.to_thread(worked))
    try:
        with contextlib.suppress(BrokenPipeError):  # it reads no more, and says why
            await engine.export_image(fingerprint, Path(f"/proc/self/fd/{into}"))
    except BaseException:
        process.kill()
        os.close(into)
        await asyncio.gather(working, process.wait(), return_exceptions=True)
        raise
    os.close(into)
    try:
        return await working
    finally:
        if await process.wait() > 0:  # by itself, not by a signal because nobody reads
            raise Away(f"the image {fingerprint[:12]} came in pieces")
