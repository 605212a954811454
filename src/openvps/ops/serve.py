"""The API process: uvicorn with our application, as the user openvps-api."""

import asyncio
import contextlib
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from openvps.app import create_app
from openvps.core import settings

TICK_S, TICKS = 1.0, 10  # between looks, and how many of uvicorn's that is: it does its work at each tenth
DRAIN_S = 10  # requests under way may finish
WS_MOST_BYTES = 64 << 10  # of one message to a terminal


class Server(uvicorn.Server):
    """Ends event streams first: they'd be waited for like other requests, and never be finished.

    And looks at the clock once a second: uvicorn looks ten times whether it is to end, which was all that an api
    without requests did.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        """Serve `app`, which `config` has too, perhaps wrapped."""
        super().__init__(config)
        self._app = app
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """Serve until told to end."""
        self._loop = asyncio.get_running_loop()
        counter = 0
        while not await self.on_tick(counter):
            counter += TICKS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), TICK_S)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal to end, and have it seen at once."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End streams, and finish the other requests."""
        self._app.state.feeds.end()
        await super().shutdown(sockets)


def main() -> int:
    """Serve until SIGTERM; requests under way are finished first."""
    config = settings.load()
    app = create_app()
    serving = uvicorn.Config(
        app,
        host=config.host,
        port=config.port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=WS_MOST_BYTES,
        lifespan="on",
        ssl_certfile=config.tls_certificate,
        ssl_keyfile=config.tls_key,
        proxy_headers=bool(config.trusted_proxies),
        forwarded_allow_ips=config.trusted_proxies,
        timeout_graceful_shutdown=DRAIN_S,
        log_config=None,  # openvps.core.log has configured it
        access_log=False,
        server_header=False,
    )
    server = Server(serving, app)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    return 0 if server.started else 3
