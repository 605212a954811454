"""Inside a machine: its files and programs. Everything there belongs to its customer and may be hostile.

So nothing is followed, everything is bounded in size and time, and what a program says is thrown away.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from openvps.engine.incus.client import NOT_FOUND, Client, failure
from openvps.engine.protocol import Busy, EngineError, Missing

RUN_S = 5.0
CHUNK = 32 << 10
NO_SUCH_PROGRAM = 127  # as shells have it


class Guest:
    """The files and programs of machines."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read_file(self, name: str, path: str, limit: int) -> bytes:
        """Return at most `limit` bytes of a regular file. Raises Missing, also for what is none."""
        where = f"/1.0/instances/{name}/files"
        try:
            async with asyncio.timeout(RUN_S):
                if not await self._has_content(where, path):
                    return b""
                return await self._read(where, path, limit)
        except TimeoutError as error:
            raise EngineError(f"{name}:{path} could not be read in {RUN_S} s") from error

    async def _has_content(self, where: str, path: str) -> bool:
        """Look before opening: opening a pipe would hang in the engine. Pipes and devices have no size."""
        async with self._client.stream("HEAD", where, query={"path": path}) as answer:
            if answer.status_code == NOT_FOUND or answer.headers.get("x-incus-type", "file") != "file":
                raise Missing(f"{path} is no file")
            if answer.is_error:
                raise failure(answer.status_code, f"{path}: the engine answered {answer.status_code}")
            return int(answer.headers.get("content-length", "0")) > 0

    async def _read(self, where: str, path: str, limit: int) -> bytes:
        content = bytearray()
        async with self._client.stream("GET", where, query={"path": path}) as answer:
            if answer.is_error or answer.headers.get("x-incus-type") != "file":
                raise Missing(f"{path} is no file")
            async for chunk in answer.aiter_bytes(CHUNK):
                content += chunk
                if len(content) >= limit:
                    break  # leaving closes the connection, so that the rest is never sent
        return bytes(content[:limit])

    async def run(self, name: str, argv: Sequence[str], stdin: bytes) -> int:
        """Run a program and return its exit code, 127 where there is none such.

        Its input goes through a websocket, so that no list of processes or operations has it.
        """
        body = {
            "command": list(argv),
            "environment": {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            "wait-for-websocket": True,
            "interactive": False,
            "record-output": False,
        }
        operation = await self._client.begin("POST", f"/1.0/instances/{name}/exec", json=body)
        try:
            async with asyncio.timeout(RUN_S), AsyncExitStack() as stack:
                # Without the control channel the program would outlive our leaving.
                for fd in ("control", "0", "1", "2"):
                    secret = operation["metadata"]["fds"][fd]
                    path = f"/1.0/operations/{operation['id']}/websocket"
                    channel = await stack.enter_async_context(self._client.websocket(path, secret=secret))
                    if fd != "control":
                        work = _feed(channel, stdin) if fd == "0" else _drain(channel)
                        task = asyncio.create_task(work)
                        stack.callback(task.cancel)
                done: dict[str, Any] = await self._client.wait(operation)
        except (TimeoutError, Busy) as error:  # by now it has been killed
            raise EngineError(f"{argv[0]} did not end within {RUN_S} s") from error
        except EngineError as error:
            if "Command not" in str(error):  # found, or executable
                return NO_SUCH_PROGRAM
            raise
        return int(done["metadata"]["return"])


async def _feed(channel: ClientConnection, stdin: bytes) -> None:
    try:
        for start in range(0, len(stdin), CHUNK):
            await channel.send(stdin[start : start + CHUNK])
        await channel.send("")  # an empty text message is Incus's end of file
    except ConnectionClosed:
        return  # the program ended without reading all


async def _drain(channel: ClientConnection) -> None:
    async for _ in channel:
        pass
