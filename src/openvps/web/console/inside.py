"""The API's routes, asked from within the process: a request is a call of the same ASGI application.

The session stands in the scope, where no client can write, and the route's guard finds its token as it finds that of
a header. The client's address and the request's id go along, for the audit log.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from starlette.types import Message

from openvps.accounts.auth import SESSION, request_id
from openvps.core.errors import Unauthenticated

OK, MULTIPLE, UNAUTHORIZED, NOT_FOUND = 200, 300, 401, 404


@dataclass(frozen=True)
class Answer:
    """What a route answered: JSON, None where there was no body."""

    status: int
    body: Any
    headers: Mapping[str, str]
    raw: bytes

    @property
    def good(self) -> bool:
        """Whether it was done."""
        return OK <= self.status < MULTIPLE

    @property
    def problems(self) -> dict[str, list[str]]:
        """What was wrong, by field; under `detail` what is about no field."""
        said: dict[str, Any] = {} if self.good or self.body is None else self.body  # a refusal is an object
        return {name: text if isinstance(text, list) else [str(text)] for name, text in said.items()}


class Inside:
    """Asks the API as the account of one session."""

    def __init__(self, request: Request, session: bytes, base_path: str) -> None:
        self._request = request
        self._session = session
        self._base_path = base_path

    async def get(self, path: str, **query: str | int) -> Answer:
        """Ask a GET route."""
        return await self("GET", path, query=query)

    async def results(self, path: str, **query: str | int) -> list[Any]:
        """Return a list's first results, 100 if not told; none where this session may not see them."""
        answer = await self.get(path, **{"page_size": 100, **query})
        return answer.body["results"] if answer.good else []

    async def post(self, path: str, body: Any = None, *, once: str | None = None, **query: str | int) -> Answer:
        """Ask a POST route; `once` is the form's own Idempotency-Key."""
        return await self("POST", path, body=body, query=query, headers={"idempotency-key": once} if once else {})

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask a route. Raises Unauthenticated where the session has ended."""
        outer = self._request
        sent = b"" if body is None else json.dumps(body).encode()
        whole = self._base_path + path
        named = {
            "host": outer.headers.get("host", ""),
            "content-type": "application/json",
            "x-request-id": request_id(outer) or "",
            **(headers or {}),
        }
        scope: dict[str, Any] = {
            **{key: outer.scope[key] for key in ("type", "asgi", "http_version", "scheme", "client", "server")},
            "root_path": "",
            "method": method,
            "path": whole,
            "raw_path": whole.encode(),
            "query_string": urlencode(query or {}).encode(),
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
            "state": dict[str, Any](),
            SESSION: self._session,
        }
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": sent, "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        await outer.app(scope, receive, send)
        return _answer(messages)


def _answer(messages: list[Message]) -> Answer:
    start = messages[0]
    raw = b"".join(one.get("body", b"") for one in messages[1:])
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    body = json.loads(raw) if raw and headers.get("content-type", "").startswith("application/json") else None
    if start["status"] == UNAUTHORIZED:
        raise Unauthenticated("You are signed out. Sign in again.")
    return Answer(start["status"], body, headers, raw)
