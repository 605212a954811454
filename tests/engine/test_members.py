"""A cell of several members, over real connections: asked in turn, in time, and nothing is sent twice."""

import asyncio
import contextlib
import json
import socket
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import anyio
import httpx2
import pytest

from openvps.engine.incus import client as client_module
from openvps.engine.incus import open_remote
from openvps.engine.incus.client import Client
from openvps.engine.protocol import Away, Cell, EngineError, Machines, MachineSpec, Snapshots

pytestmark = pytest.mark.anyio

ANSWER = {"type": "sync", "status_code": 200, "metadata": "here"}
SPEC = MachineSpec("vps-1", "f" * 64, 1, 128, 1, "web", [], "")


@dataclass
class Member:
    """A daemon as it is seen from outside: it answers, hangs up after the request, or says nothing at all."""

    does: str
    asked: list[str] = field(default_factory=list[str])
    url: str = ""
    serving: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split(b" ", 1)[0].decode())
        if self.does == "nothing":
            await reader.read()  # until the other side has had enough
        elif self.does == "answers":
            body = json.dumps(ANSWER).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))
            await writer.drain()

    async def ended(self) -> None:
        """Wait until the other side has left every connection."""
        await asyncio.gather(*self.serving, return_exceptions=True)


@asynccontextmanager
async def members(*what: str) -> AsyncGenerator[tuple[Client, list[Member]]]:
    """Run members that do `what`; one that is `away` has no listener."""
    made = [Member(one) for one in what]
    async with AsyncExitStack() as stack:
        for one in made:
            listening = stack.enter_context(socket.socket())
            listening.bind(("127.0.0.1", 0))
            one.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            if one.does != "away":
                server = await asyncio.start_server(one.serve, sock=listening.dup())
                stack.push_async_callback(one.ended)
                stack.callback(server.close)
        client = Client("tests", members=[one.url for one in made])
        stack.push_async_callback(client.close)
        yield client, made


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ANSWER_S", 0.5)


async def test_the_next_member_is_asked_when_one_is_away_and_asked_first_from_then_on() -> None:
    async with members("away", "answers", "answers") as (client, (_, second, third)):
        for _ in range(3):
            assert await client.get("/1.0") == "here"
        assert (len(second.asked), len(third.asked)) == (3, 0)


async def test_what_was_sent_and_not_answered_is_sent_to_no_other_member() -> None:
    async with members("hangs up", "answers") as (client, (first, second)):
        with pytest.raises(Away):
            await client.begin("POST", "/1.0/instances", json={})
        assert (first.asked, second.asked) == (["POST"], [])
        assert await client.get("/1.0") == "here", "the one that answers is asked first now"
        assert (first.asked, second.asked) == (["POST"], ["GET"])


async def test_a_member_that_says_nothing_is_given_up_in_time_and_asked_last() -> None:
    async with members("nothing", "answers") as (client, (first, second)):
        began = time.monotonic()
        with pytest.raises(Away):
            await client.get("/1.0")
        assert time.monotonic() - began < 10 * client_module.ANSWER_S
        assert await client.get("/1.0") == "here"
        assert (len(first.asked), len(second.asked)) == (1, 1)


async def test_where_no_member_answers_the_cell_is_away() -> None:
    async with members("away", "away") as (client, _):
        with pytest.raises(Away):
            await client.get("/1.0")
        with pytest.raises(Away):
            async with client.websocket("/1.0/events"):
                pass


async def test_a_websocket_goes_to_the_next_member_too() -> None:
    async with members("away", "nothing") as (client, (_, second)):
        began = time.monotonic()
        with pytest.raises(Away):
            async with client.websocket("/1.0/events"):
                pass
        assert second.asked == ["GET"]
        assert time.monotonic() - began < 10 * client_module.CONNECT_S


def verbs() -> list[str]:
    """Return all that an engine is asked for."""
    told = {"events", "console", "forget_address", "close"}  # websockets are seen above; the others ask nothing
    return [
        name for side in (Machines, Snapshots, Cell) for name in vars(side) if name[0] != "_" and name not in told
    ]


class Recorded(httpx2.AsyncBaseTransport):
    """Notes how long each request may take, and lets none through."""

    allowed: ClassVar[list[dict[str, float | None]]] = []

    def __init__(self, **_: object) -> None:
        """Take what the real one takes."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.allowed.append(request.extensions["timeout"])
        raise httpx2.ConnectError("recorded")


@pytest.mark.parametrize("verb", verbs())
async def test_every_call_has_its_time(verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(httpx2, "AsyncHTTPTransport", Recorded)
    monkeypatch.setattr(Recorded, "allowed", [])
    (tmp_path / "image").touch()
    arguments: dict[str, tuple[Any, ...]] = {
        "create": (SPEC,),
        **dict.fromkeys(("configure", "renew"), ("vps-1", SPEC)),
        **dict.fromkeys(("capacity", "ping", "machines", "usage", "inventory", "images"), ()),
        **dict.fromkeys(("snapshot", "restore", "publish", "rebuild", "delete_snapshot", "claim"), ("vps-1", "one")),
        "mark": ("vps-1", "key", "value"),
        "stop": ("vps-1", 1),
        "read_file": ("vps-1", "/etc/passwd"),
        "run": ("vps-1", ["true"]),
        "add_image": (tmp_path / "image",),
        "export_image": ("f" * 64, tmp_path / "export"),
    }
    engine = open_remote(["https://192.0.2.1:8443"], ssl.create_default_context(), "tests", "tests")
    with (tmp_path / "image").open("rb") as stored:
        arguments["put_back"] = ("vps-1", "one", stored.fileno(), anyio.sleep)
        with pytest.raises(EngineError):
            await getattr(engine, verb)(*arguments.get(verb, ("vps-1",)))
    assert Recorded.allowed, "nothing was asked"
    for times in Recorded.allowed:
        assert all(times[phase] is not None for phase in ("connect", "read", "write", "pool")), times
        assert (times["connect"] or 0) <= client_module.CONNECT_S
    await engine.close()
