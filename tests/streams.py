"""A world's API on a port of its own, and its event streams as a client reads them."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import uvicorn

from factories import Client, World
from openvps.ops.serve import Server

PATIENCE_S = 20.0  # for what takes ms


@contextlib.asynccontextmanager
async def served(world: World) -> AsyncGenerator[str]:
    """Serve the world's API as `openvps` does; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(world.app, lifespan="off", log_config=None, http="httptools", ws="none")
        server = Server(config, world.app)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/api/v1"
        server.should_exit = True
        await running


@dataclass
class Streamed:
    """What one stream said: an event, or a comment with no name."""

    name: str = ""
    number: int | None = None
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    comment: str = ""


class Follower:
    """A client that follows a stream."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines: AsyncIterator[str] = answer.aiter_lines()

    async def __call__(self) -> Streamed | None:
        """Return the next event or comment; None at the stream's end."""
        async with asyncio.timeout(PATIENCE_S):
            said = Streamed()
            async for line in self._lines:
                name, _, value = line.partition(":")
                if not line:
                    if said != Streamed():
                        return said
                elif name == "":
                    said.comment = value.strip()
                elif name == "id":
                    said.number = int(value)
                elif name == "event":
                    said.name = value.strip()
                elif name == "data":
                    said.data = json.loads(value)
            return None


@contextlib.asynccontextmanager
async def following(url: str, client: Client, **query: Any) -> AsyncGenerator[Follower]:
    """Follow the client's events."""
    headers = {"Authorization": f"Bearer {client.token}", "Accept": "text/event-stream", **query.pop("headers", {})}
    async with (
        httpx2.AsyncClient(timeout=PATIENCE_S) as http,
        http.stream("GET", f"{url}/events/", headers=headers, params=query) as answer,
    ):
        yield Follower(answer)


async def followed(world: World, client: Client, times: int = 1) -> None:
    """Return when so many streams of the client's account follow it."""
    async with asyncio.timeout(PATIENCE_S):
        while world.app.state.feeds.of(client.account_id) != times:  # noqa: ASYNC110 -- it is another's to tell
            await asyncio.sleep(0.01)
