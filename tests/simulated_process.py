"""The SIMULATED engine for several workers: one process holds it, each worker reaches it by a socket.

    python simulated_process.py serve SOCKET TAKES_S    # the engine
    python simulated_process.py worker SOCKET           # the real worker, with this engine for every cell

What goes over the socket is pickled: both ends are this file.
"""

import asyncio
import pickle
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openvps.cells
import openvps.worker
from openvps.core.db import Record
from openvps.core.settings import Settings
from openvps.engine.faulty import VERBS
from openvps.engine.protocol import Away, EngineError, Event
from simulated import Simulated

if TYPE_CHECKING:
    from openvps.engine.incus import Incus as Complete
else:
    Complete = object


async def _serve(engine: Simulated, socket: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            verb, words, named = await _read(reader)
            if verb == "events":
                async for event in engine.events():
                    await _write(writer, event)
                return
            try:
                result: Any = await getattr(engine, verb)(*words, **named)
            except EngineError as error:
                result = error
            await _write(writer, result)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async with await asyncio.start_unix_server(answer, socket) as server:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await server.serve_forever()


class Reached(Complete):
    """The engine in the other process, as a worker sees it."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        for verb in VERBS:
            setattr(self, verb, self._passing(verb))

    async def events(self) -> AsyncIterator[Event]:
        """Pass events on until the other process is gone."""
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket)
            try:
                await _write(writer, ("events", (), dict[str, Any]()))
                while True:
                    yield await _read(reader)
            finally:
                writer.transport.abort()
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Away(repr(error)) from error

    async def close(self) -> None:
        """Nothing is kept open."""

    def _passing(self, verb: str) -> Callable[..., Awaitable[Any]]:
        async def passing(*words: Any, **named: Any) -> Any:
            try:
                reader, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    await _write(writer, (verb, words, named))
                    result = await _read(reader)
                finally:
                    writer.transport.abort()
            except (OSError, asyncio.IncompleteReadError) as error:
                raise Away(repr(error)) from error
            if isinstance(result, EngineError):
                raise result
            return result

        return passing


async def _write(writer: asyncio.StreamWriter, thing: object) -> None:
    data = pickle.dumps(thing)
    writer.write(len(data).to_bytes(8, "big") + data)
    await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Any:
    size = int.from_bytes(await reader.readexactly(8), "big")
    return pickle.loads(await reader.readexactly(size))  # noqa: S301 -- from our own other end


def main() -> int:
    """Serve the engine, or be a worker on it, until told to end."""
    if sys.argv[1] == "serve":
        engine = Simulated(takes_s=float(sys.argv[3]))
        asyncio.run(_prepared(engine, sys.argv[2]))
        return 0
    reached = Reached(sys.argv[2])

    def open_cell(_config: Settings, _row: Record) -> Reached:
        return reached

    openvps.cells.open_cell = open_cell
    return openvps.worker.main()


async def _prepared(engine: Simulated, socket: str) -> None:
    await engine.add_image(Path("simulated"))
    await _serve(engine, socket)


if __name__ == "__main__":
    sys.exit(main())
