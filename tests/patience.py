"""Waits for an engine that is busy, or doesn't answer in time for once: as converge does, by asking again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from openvps.engine.protocol import Away, Busy, Engine

T = TypeVar("T")

PATIENCE_S = 120.0  # the machine may have much else to do


async def until(work: Callable[[], Awaitable[T]]) -> T:
    """Do `work` again until the engine has done it."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await work()
        except (Busy, Away):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.05)


async def is_busy(engine: Engine, name: str) -> bool:
    """Whether the engine is at work on a machine."""
    try:
        await engine.look(name)
    except Busy:
        return True
    return False


def patient(engine: Engine) -> Engine:
    """Return an engine whose verbs are done again until they are done."""
    return cast("Engine", _Patient(engine))


class _Patient:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, verb: str) -> Callable[..., Awaitable[Any]]:
        return lambda *args, **kwargs: until(lambda: getattr(self._engine, verb)(*args, **kwargs))
