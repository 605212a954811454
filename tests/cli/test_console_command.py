"""`openvps server console` in a pseudo-terminal, on a stub of the websocket that says what was typed in capitals."""

import os
import socket
import sys
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import uvicorn
from fastapi import FastAPI, WebSocket

from terminal import typed

pytestmark = pytest.mark.anyio

SERVER: dict[str, Any] = {
    "id": 7,
    "name": "web-1",
    "hostname": "web-1",
    "status": "active",
    "ip_address": "203.0.113.10",
    "location": "us-west",
    "plan": {"id": 1, "name": "nano", "vcpus": 1, "memory": 256, "storage": 2},
    "os": {"id": 3, "name": "Debian 12"},
    "created_at": "2026-11-25T00:00:00Z",
    "updated_at": "2026-11-25T00:00:00Z",
}


def stub() -> FastAPI:
    app = FastAPI()

    async def servers() -> dict[str, Any]:
        return {"count": 1, "results": [SERVER]}

    async def ticket() -> dict[str, Any]:
        behind_a_proxy = "ws://10.0.0.1:8080/api/v1/console/"
        return {"url": behind_a_proxy, "ticket": "once", "expires_at": "2026-11-25T00:00:30Z"}

    async def terminal(websocket: WebSocket) -> None:
        await websocket.accept()
        assert await websocket.receive_json() == {"ticket": "once"}
        await websocket.send_json({"open": True})
        await websocket.send_bytes(b"login: ")
        while True:
            message = await websocket.receive()
            if text := message.get("text"):
                await websocket.send_bytes(f"told {text}, ".encode())
                continue
            keys = message["bytes"]
            await websocket.send_bytes(keys.upper())
            if b"\x03" in keys:
                await websocket.send_json({"closed": "The token was revoked."})
                await websocket.close()
                return

    app.add_api_route("/api/v1/servers/", servers)
    app.add_api_route("/api/v1/servers/7/console/", ticket, methods=["POST"], status_code=201)
    app.add_api_websocket_route("/api/v1/console/", terminal)
    return app


@pytest.fixture
async def environment(tmp_path: Path) -> AsyncGenerator[dict[str, str]]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(stub(), lifespan="off", log_config=None))
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listening])
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/api/v1"
            yield {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OPENVPS_TOKEN": "t", "OPENVPS_API_URL": url}
            server.should_exit = True


@pytest.mark.parametrize(
    ("last", "why"), [("\x1d", "detached; the console goes on"), ("\x03", "The token was revoked.")]
)
async def test_keys_go_there_and_the_screen_comes_back(environment: dict[str, str], last: str, why: str) -> None:
    argv = [str(Path(sys.executable).parent / "openvps"), "server", "console", "web"]
    answers = [("login: ", "root"), ("ROOT", last)]
    sized = partial(typed, size=(100, 30))
    code, said = await anyio.to_thread.run_sync(sized, argv, environment, answers)
    assert (code, why in said) == (0, True), said
    assert 'told {"size": [100, 30]}' in said
