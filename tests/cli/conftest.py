"""The `openvps` command as a customer has it: on our API over HTTP, with an environment and a home of its own."""

import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import anyio
import anyio.to_thread
import pytest
import uvicorn

from factories import Client, World
from openvps.ops.commands import main
from terminal import typed

OPENVPS = str(Path(sys.executable).parent / "openvps")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its code, its results, its talk."""

    code: int
    out: str
    err: str


@dataclass
class Shell:
    """A customer's shell."""

    url: str
    customer: Client
    home: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.environment = {**kept, "HOME": str(self.home), "OPENVPS_CONFIG": "/nonexistent", "COLUMNS": "200"}
        self.environment |= {"OPENVPS_TOKEN": self.customer.token, "OPENVPS_API_URL": self.url}

    async def __call__(self, *arguments: str, stdin: str = "", **changed: str) -> Ended:
        """Run a command without a terminal, in this process: importing it each time would take the most time."""

        def run() -> Ended:
            out, err = StringIO(), StringIO()
            with (
                patch.dict(os.environ, {**self.environment, **changed}, clear=True),
                patch("sys.stdin", StringIO(stdin)),
                redirect_stdout(out),
                redirect_stderr(err),
            ):
                code = main(list(arguments))
            return Ended(code, out.getvalue(), err.getvalue())

        return await anyio.to_thread.run_sync(run)

    async def in_a_process(self, argv: list[str]) -> str:
        """Run a program and return what it printed."""
        done = await anyio.to_thread.run_sync(
            lambda: subprocess.run(argv, env=self.environment, capture_output=True, text=True, check=True)
        )
        return done.stdout

    async def on_a_terminal(self, arguments: list[str], answers: list[tuple[str, str]]) -> tuple[int, str]:
        """Run a command in a pseudo-terminal, typing each answer once its question stands there."""
        return await anyio.to_thread.run_sync(typed, [OPENVPS, *arguments], self.environment, answers)


@pytest.fixture
async def url(world: World) -> AsyncGenerator[str]:
    """Serve the world's API over HTTP."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(world.app, lifespan="off", log_config=None))
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listening])
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/api/v1"
            server.should_exit = True


@pytest.fixture
async def shell(world: World, url: str, tmp_path: Path) -> Shell:
    return Shell(url, await world.a_client(), tmp_path)


@pytest.fixture
def another_shell(world: World, url: str, tmp_path: Path) -> Callable[..., Awaitable[Shell]]:
    """Return what makes shells of further accounts."""

    async def another(**fields: int) -> Shell:
        return Shell(url, await world.a_client(**fields), tmp_path)  # pyright: ignore[reportArgumentType] -- credit

    return another
