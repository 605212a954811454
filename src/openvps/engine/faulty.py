"""Any engine, failing on request: for faults that a real one can't be made to have on demand.

`Faulty(engine).fail("create", before=False)`: the next create takes effect and then raises, as when the
answer is lost; with `before=True` it raises without taking effect.
"""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openvps.engine.protocol import Away, Cell, Engine, EngineError, Event, Machines, Snapshots, Terminal

if TYPE_CHECKING:
    # To the type checker it has the verbs of a complete engine; in truth it has those it makes for itself.
    from openvps.engine.incus import Incus as Complete
else:
    Complete = object

VERBS = tuple(
    verb
    for side in (Machines, Snapshots, Cell)
    for verb in vars(side)
    if not verb.startswith("_") and verb not in {"events", "console"}
)


@dataclass
class Fault:
    """One failure to come: of which verb, on which side of its effect, how often."""

    verb: str
    before: bool
    error: EngineError
    times: int


class Faulty(Complete):
    """Passes every verb on to a real engine, counts it, and fails where it was told to."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.calls: Counter[str] = Counter()
        self._faults: list[Fault] = []
        for verb in VERBS:
            setattr(self, verb, self._passing(verb))

    def fail(self, verb: str, *, before: bool = True, error: EngineError | None = None, times: int = 1) -> None:
        """Have the next `times` calls of `verb` raise `error`, before or after they take effect."""
        if verb not in (*VERBS, "events", "console"):
            raise ValueError(f"no such verb: {verb}")
        self._faults.append(Fault(verb, before, error or Away(f"{verb} was told to fail"), times))

    def heal(self) -> None:
        """Fail no more."""
        self._faults.clear()

    async def events(self) -> AsyncIterator[Event]:
        """Pass events on; a fault `after` breaks the stream behind its next event."""
        self.calls["events"] += 1
        self._raise("events", before=True)
        async for event in self.engine.events():
            yield event
            self._raise("events", before=False)

    @asynccontextmanager
    async def console(self, name: str) -> AsyncGenerator[Terminal]:
        """Pass a console on; a fault `after` breaks it once it is open."""
        self.calls["console"] += 1
        self._raise("console", before=True)
        async with self.engine.console(name) as terminal:
            self._raise("console", before=False)
            yield terminal

    async def close(self) -> None:
        """Return the connections."""
        await self.engine.close()

    def _passing(self, verb: str) -> Callable[..., Awaitable[Any]]:
        async def passing(*args: Any, **kwargs: Any) -> Any:
            self.calls[verb] += 1
            self._raise(verb, before=True)
            result = await getattr(self.engine, verb)(*args, **kwargs)
            self._raise(verb, before=False)
            return result

        return passing

    def _raise(self, verb: str, *, before: bool) -> None:
        for fault in self._faults:
            if (fault.verb, fault.before) == (verb, before) and fault.times > 0:
                fault.times -= 1
                raise fault.error
