"""Counts and times requests, by operation: the innermost middleware, which knows which route took one."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openvps.core import metrics

CRASHED = 500


class Measured:
    """Counts each request once its answer begins; a stream's time is that to its beginning."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), CRASHED

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _count(scope, status, time.perf_counter() - began)
            await send(message)

        metrics.IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, noted)
        except Exception:
            _count(scope, CRASHED, time.perf_counter() - began)
            raise
        finally:
            metrics.IN_FLIGHT.dec()


def _count(scope: Scope, status: int, seconds: float) -> None:
    operation = getattr(scope.get("route"), "name", None) or "none"
    metrics.REQUESTS.labels(operation, str(status)).inc()
    if b"wait=" not in scope["query_string"]:
        metrics.REQUEST_S.labels(operation).observe(seconds)
