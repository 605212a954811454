"""The outermost layer: no answer leaves without a request id, and no crash without an answer.

The client's own `X-Request-Id` is taken if it is sane, so that one id can be followed through several systems; it
stands in every line of the log that the request causes. Inner layers leave headers for the answer in
`request.state.answer_headers`: errors are translated far from where the rate limit is known.
"""

import re
import secrets

import structlog
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openvps.core import log

MAX_URL_BYTES = 8192  # what common proxies let through
_SANE = re.compile(rb"[A-Za-z0-9_.:=+/@-]{1,128}\Z")
_NUL = re.compile(rb"%00|\x00")

logger = log.get(__name__)


class Envelope:
    """Gives each request its id, and each answer the headers that all have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        added: list[tuple[bytes, bytes]] = [
            (b"x-request-id", request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
        ]
        state = scope.setdefault("state", {})
        state["request_id"], state["answer_headers"] = request_id, added
        started = False

        async def stamped(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], *added]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await (_unfit(scope) or self._app)(scope, receive, stamped)
            except Exception:
                logger.exception("crashed", method=scope["method"], path=scope["path"])
                if started:
                    raise  # what is half sent can only be cut off
                detail = f"Something went wrong on our side. Try again; if it stays, tell us the id {request_id}."
                await JSONResponse({"detail": detail}, 500)(scope, receive, stamped)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE.match(value):
            return value.decode()
    return secrets.token_hex(16)


def _unfit(scope: Scope) -> ASGIApp | None:
    """Return the refusal of a URL that nothing of ours can have: too long, or with a NUL byte in it."""
    path, query = scope.get("raw_path") or scope["path"].encode(), scope["query_string"]
    if len(path) + len(query) > MAX_URL_BYTES:
        return JSONResponse({"detail": f"The URL may have at most {MAX_URL_BYTES} bytes."}, 414)
    if _NUL.search(query) or _NUL.search(path):
        return JSONResponse({"detail": "The URL has a NUL byte (%00) in it; nothing here has one."}, 400)
    return None
