"""A machine's serial console, over two websockets of Incus: one carries bytes, the other holds it open.

Incus lends a console to one at a time. Whoever comes later takes it over, so that a browser that was left open
elsewhere locks nobody out of their server. What Incus's second channel says of the screen's size ends at LXC's proxy
of the console (seen): so the size is told from inside, by the machine's own stty on its own console.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from openvps.engine.incus.client import Client
from openvps.engine.incus.guest import Guest
from openvps.engine.protocol import Away


class IncusTerminal:
    """An open console."""

    def __init__(self, data: ClientConnection, guest: Guest, name: str) -> None:
        self._data, self._guest, self._name = data, guest, name

    async def read(self) -> bytes:
        """Return what the machine wrote; no bytes at the end."""
        try:
            said = await self._data.recv()
        except ConnectionClosed:
            return b""
        return said if isinstance(said, bytes) else said.encode()  # an empty text is Incus's end

    async def write(self, data: bytes) -> None:
        """Type into the machine. Raises Away once the console is gone."""
        try:
            await self._data.send(data)
        except ConnectionClosed as error:
            raise Away("the console has ended") from error

    async def resize(self, columns: int, rows: int) -> None:
        """Tell the machine how large the screen is; one without stty stays as it is. Raises EngineError."""
        await self._guest.run(
            self._name, ["stty", "-F", "/dev/console", "cols", str(columns), "rows", str(rows)], b""
        )


@asynccontextmanager
async def opened(client: Client, name: str) -> AsyncGenerator[IncusTerminal]:
    """Open the console of a running machine, for as long as the block runs."""
    wanted = {"type": "console", "force": True}
    operation = await client.begin("POST", f"/1.0/instances/{name}/console", json=wanted)
    path, secrets = f"/1.0/operations/{operation['id']}/websocket", operation["metadata"]["fds"]
    async with (
        client.websocket(path, secret=secrets["0"]) as data,
        client.websocket(path, secret=secrets["control"]),
    ):
        yield IncusTerminal(data, Guest(client), name)
