"""`/metrics` on a listener of its own: nobody who may reach the API reaches it by that.

Processes on one machine take the next free port: api processes from the setting's on by twos, workers from the one
after. A port that can't be had costs the numbers, never the service.
"""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncGenerator, Awaitable, Callable

import h11
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from openvps.core import log
from openvps.core.settings import Settings

PATIENCE_S = 10.0
PORTS = 16
MAX_REQUEST_BYTES = 8192

Facts = Callable[[], Awaitable[bytes]]
logger = log.get(__name__)


@contextlib.asynccontextmanager
async def exposed(config: Settings, *, first: int, facts: Facts | None = None) -> AsyncGenerator[int | None]:
    """Serve this process's numbers, and `facts` behind them; yields the port, None where there is none."""
    server = await _listen(config, first, facts)
    try:
        yield server.sockets[0].getsockname()[1] if server else None
    finally:
        if server:
            server.close()


async def _listen(config: Settings, first: int, facts: Facts | None) -> asyncio.Server | None:
    if config.metrics_listen is None:
        return None
    host, _, port = config.metrics_listen.rpartition(":")
    answer = _Answer(config.metrics_token, facts)
    for tried in range(int(port) + first, int(port) + first + 2 * PORTS, 2):
        with contextlib.suppress(OSError):
            server = await asyncio.start_server(answer, host.strip("[]"), tried, limit=MAX_REQUEST_BYTES)
            logger.info("metrics", port=tried)
            return server
    logger.error("no_metrics", listen=config.metrics_listen)
    return None


class _Answer:
    """Answers one request of a connection."""

    def __init__(self, token: str | None, facts: Facts | None) -> None:
        self._token, self._facts = token, facts

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_BYTES)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (request := http.next_event()) is h11.NEED_DATA:
                    http.receive_data(await reader.read(MAX_REQUEST_BYTES))
                if isinstance(request, h11.Request):
                    status, body = await self._answered(request)
                    headers = [("Content-Type", CONTENT_TYPE_PLAIN_0_0_4), ("Content-Length", str(len(body)))]
                    for event in (
                        h11.Response(status_code=status, headers=[*headers, ("Connection", "close")]),
                        h11.Data(data=body),
                        h11.EndOfMessage(),
                    ):
                        writer.write(http.send(event) or b"")
                    await writer.drain()
        except (h11.ProtocolError, OSError, TimeoutError):
            pass  # who asks so gets nothing
        finally:
            writer.close()

    async def _answered(self, request: h11.Request) -> tuple[int, bytes]:
        given = next((value for name, value in request.headers if name == b"authorization"), b"")
        if self._token is not None and not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            return 401, b"Send the metrics token: Authorization: Bearer <token>.\n"
        if request.method != b"GET" or request.target.partition(b"?")[0] != b"/metrics":
            return 404, b"GET /metrics\n"
        own = generate_latest(REGISTRY)
        if self._facts is None:
            return 200, own
        try:
            return 200, own + await self._facts()
        except Exception:  # the database may be away; that it is, is a fact too
            logger.exception("facts_missing")
            return 200, own + b"# TYPE openvps_database_reachable gauge\nopenvps_database_reachable 0\n"
