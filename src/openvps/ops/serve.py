"""The API process: uvicorn with our application, as the user openvps-api."""

import contextlib
import socket

import uvicorn
from fastapi import FastAPI

from openvps.app import create_app
from openvps.core import settings

DRAIN_S = 10  # requests under way may finish
WS_MOST_BYTES = 64 << 10  # of one message to a terminal


class Server(uvicorn.Server):
    """Ends event streams first: they'd be waited for like other requests, and never be finished."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        """Serve `app`, which `config` has too, perhaps wrapped."""
        super().__init__(config)
        self._app = app

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
