"""The console process: carries bytes between the api and servers' serial consoles.

Besides the worker the only one that speaks to the engine, and so as small as it can be: one unix socket, which only
the api reaches; a ticket, taken once; bytes. While a terminal is open, whether it may be is asked every two seconds.
"""

import asyncio
import contextlib
import hashlib
import json
import signal
import time
from collections import Counter
from typing import Any

import sqlalchemy.exc

from openvps.compute.servers.names import machine_name
from openvps.compute.terminals import frames, queries
from openvps.compute.terminals.queries import Taken
from openvps.core import log, settings
from openvps.core.clock import now
from openvps.core.db import Database, Record
from openvps.core.settings import Settings
from openvps.engine.incus.reach import open_cell
from openvps.engine.protocol import EngineError, Terminal

HELLO_S = 10.0
LOOK_S = 2.0  # between two looks whether a terminal may still be open: it ends within 5 s
IDLE_S = 1800.0  # without a key pressed
MOST, MOST_OF_ACCOUNT = 200, 10
RESIZED_EVERY_S = 1.0
SIZES = frozenset(range(1, 1001))  # of columns and rows

logger = log.get(__name__)


class End(Exception):
    """A terminal is over."""


class Consoles:
    """The terminals that are open."""

    def __init__(self, config: Settings, database: Database) -> None:
        self._config = config
        self._database = database
        self._open: Counter[int] = Counter()  # by account
        self._newest: dict[int, asyncio.Event] = {}  # by server; set once a later one takes its console over

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one terminal, from its ticket to its end."""
        try:
            await self._serve(reader, writer)
        except End as end:
            with contextlib.suppress(OSError):
                await frames.write(writer, "end", str(end).encode())
        except (OSError, ConnectionError):
            pass  # the browser has gone
        except sqlalchemy.exc.SQLAlchemyError:
            logger.exception("database_away")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken, place = await self._take(await _hello(reader))
        if self._open.total() >= MOST or self._open[place.account_id] >= MOST_OF_ACCOUNT:
            raise End("Too many terminals are open. Close one and try again.")
        engine = open_cell(self._config, place)
        self._open[place.account_id] += 1
        if earlier := self._newest.get(taken.server_id):
            earlier.set()
        taken_over = self._newest[taken.server_id] = asyncio.Event()
        try:
            async with engine.console(machine_name(taken.server_id)) as terminal:
                await frames.write(writer, "open")
                logger.info("terminal_opened", server=taken.server_id, account=place.account_id)
                await self._carry(taken, terminal, reader, writer, taken_over)
        except EngineError as error:
            logger.warning("console_failed", server=taken.server_id, error=str(error))
            await self._look(taken)
            raise End("The server's console can't be reached now. Try again in a moment.") from error
        finally:
            self._open[place.account_id] -= 1
            if self._newest.get(taken.server_id) is taken_over:
                del self._newest[taken.server_id]
            await engine.close()
            logger.info("terminal_closed", server=taken.server_id, account=place.account_id)

    async def _take(self, ticket: str) -> tuple[Taken, Record]:
        async with self._database.begin() as conn:
            taken = await queries.take(conn, hashlib.sha256(ticket.encode()).digest(), now())
            place = await queries.open_for(conn, taken, now()) if taken else None
        if taken is None or place is None:
            raise End("This ticket is unknown, used or over. Ask for a new one.")
        return taken, place

    async def _carry(
        self,
        taken: Taken,
        terminal: Terminal,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        taken_over: asyncio.Event,
    ) -> None:
        """Carry bytes both ways until one side ends, another terminal takes over, or nobody may."""
        typed, screen = _Typed(), _Screen()
        works = [
            asyncio.create_task(one)
            for one in (
                _elsewhere(taken_over),
                _in(typed, terminal, screen, reader),
                self._out(taken, terminal, writer),
                screen.follow(terminal),
                self._guard(taken, typed),
            )
        ]
        try:
            await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            for one in works:
                if one.done():
                    one.result()
        finally:
            for one in works:
                one.cancel()
            await asyncio.gather(*works, return_exceptions=True)

    async def _guard(self, taken: Taken, typed: "_Typed") -> None:
        """Look every two seconds whether the terminal may be open. Raises End once it may not."""
        while True:
            await asyncio.sleep(LOOK_S)
            if time.monotonic() - typed.at > IDLE_S:
                raise End("Nothing was typed for 30 minutes.")
            await self._look(taken)

    async def _out(self, taken: Taken, terminal: Terminal, writer: asyncio.StreamWriter) -> None:
        while said := await terminal.read():
            await frames.write(writer, "bytes", said)
        await self._look(taken)  # who stops a server is quicker than the guard: say why
        raise End("The server has closed its console.")

    async def _look(self, taken: Taken) -> None:
        """Raise End where the terminal may not be open, or no longer."""
        async with self._database.read() as conn:
            if await queries.open_for(conn, taken, now()) is None:
                raise End("The server has stopped, or you may no longer use it.")


class _Typed:
    """When a key was last pressed."""

    def __init__(self) -> None:
        self.at = time.monotonic()


class _Screen:
    """How large the browser's screen is; the machine is told the latest, at most once a second."""

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None
        self._changed = asyncio.Event()

    def becomes(self, said: bytes) -> None:
        """Take note of `{"size": [columns, rows]}`; anything else is nothing."""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            columns, rows = json.loads(said)["size"]
            if type(columns) is type(rows) is int and {columns, rows} <= SIZES:
                self._size = columns, rows
                self._changed.set()

    async def follow(self, terminal: Terminal) -> None:
        """Tell the machine, again and again; one that can't be told keeps its size."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._size is not None:
                try:
                    await terminal.resize(*self._size)
                except EngineError as error:
                    logger.info("size_not_told", error=str(error))
            await asyncio.sleep(RESIZED_EVERY_S)


async def _elsewhere(taken_over: asyncio.Event) -> None:
    await taken_over.wait()
    raise End("The terminal was opened elsewhere.")


async def _in(typed: _Typed, terminal: Terminal, screen: "_Screen", reader: asyncio.StreamReader) -> None:
    while (frame := await frames.read(reader)) is not None:
        kind, content = frame
        if kind == "size":
            screen.becomes(content)
            continue
        typed.at = time.monotonic()
        if kind == "bytes":
            await terminal.write(content)


async def _hello(reader: asyncio.StreamReader) -> str:
    """Return the ticket that a terminal begins with. Raises End without one."""
    try:
        async with asyncio.timeout(HELLO_S):
            frame = await frames.read(reader)
    except TimeoutError:
        frame = None
    if frame is None or frame[0] != "hello":
        raise End("No ticket was sent.")
    try:
        said: Any = json.loads(frame[1])
        return str(said["ticket"])
    except (ValueError, TypeError, KeyError):
        raise End("No ticket was sent.") from None


def main() -> int:
    """Serve until SIGTERM."""
    config = settings.load()
    log.configure("console", level=config.log_level)
    asyncio.run(_main(config))
    return 0


async def _main(config: Settings) -> None:
    database = Database(config.conninfo("console"), pool_size=3)
    path = frames.socket_of(config)
    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(Consoles(config, database).serve, path)
    path.chmod(0o666)  # its folder says who gets here
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    server.close()
    path.unlink(missing_ok=True)
    await database.close()
