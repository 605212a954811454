"""`openvps server console`: the serial console in this terminal, by a ticket that is good once."""

import asyncio
import json
import os
import signal
import sys
import termios
import tty
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from openvps.cli import ask, contexts
from openvps.cli.arguments import Server
from openvps.cli.exits import AWAY, Stop, talk

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

DETACH = b"\x1d"  # Ctrl-], as telnet and virsh have it
READ_SIZE = 4096


def console(server: Server) -> None:
    """Attach this terminal to a server's serial console, which works when SSH doesn't. Ctrl-] detaches it.

    Log in with root's password: `openvps server reset-password` makes one.
    """
    from openvps.cli import find
    from openvps.cli.calling import calling

    if not ask.can_ask() or not sys.stdout.isatty():
        raise Stop("a console needs a terminal; for a program there is: openvps server ssh SERVER COMMAND")
    _, context = contexts.chosen()
    with calling() as client:
        found = find.server(client, server)
        ticket = client.servers.console(found.id)
    hint = f"console of {found.name}: press Enter for a login, Ctrl-] to detach"
    talk(asyncio.run(_attach(_address(context.url, ticket.url), ticket.ticket, hint)))


def _address(base: str, told: str) -> str:
    """Return the websocket's address at the host that the API is called at: behind a proxy it may be told another."""
    parts = urlsplit(base)
    return f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}{urlsplit(told).path}"


async def _attach(url: str, ticket: str | None, hint: str) -> str:
    """Carry keys and screen between this terminal and a websocket; returns why it ended. Raises Stop."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import WebSocketException

    try:
        async with connect(url) as socket:
            await socket.send(json.dumps({"ticket": ticket}))
            with _raw(), _told_of_its_size(socket):
                works = [asyncio.create_task(_keys(socket)), asyncio.create_task(_screen(socket, hint))]
                done, rest = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
                for one in rest:
                    one.cancel()
                await asyncio.gather(*rest, return_exceptions=True)
    except (OSError, WebSocketException) as error:
        raise Stop(f"the console can't be reached: {error}", AWAY) from error
    return f"\n{done.pop().result()}"


async def _keys(socket: "ClientConnection") -> str:
    """Send what is typed, until Ctrl-] or the end of it."""
    typed: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), lambda: typed.put_nowait(os.read(sys.stdin.fileno(), READ_SIZE)))
    try:
        while (keys := await typed.get()) and DETACH not in keys:
            await socket.send(keys)
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return "detached; the console goes on"


async def _screen(socket: "ClientConnection", hint: str) -> str:
    """Show what comes, until it is said why it ended; `hint` once it is open, and typing gets there."""
    why = "the console has ended"
    async for message in socket:
        if isinstance(message, bytes):
            sys.stdout.buffer.write(message)
            sys.stdout.buffer.flush()
            continue
        told = json.loads(message)
        if told.get("open"):
            talk(f"{hint}\r")
        why = told.get("closed", why)
    return why


@contextmanager
def _told_of_its_size(socket: "ClientConnection") -> Generator[None]:
    """Say how large this terminal is, now and whenever that changes."""
    loop, saying = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    def say() -> None:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
        if not (columns and rows):  # a terminal that doesn't know
            return
        one = asyncio.ensure_future(socket.send(json.dumps({"size": [columns, rows]})))
        saying.add(one)
        one.add_done_callback(saying.discard)

    loop.add_signal_handler(signal.SIGWINCH, say)
    say()
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        for one in saying:
            one.cancel()


@contextmanager
def _raw() -> Generator[None]:
    """Have each key sent as it is, Ctrl-C too; the terminal is as before at the end."""
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
