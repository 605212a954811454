"""One Incus endpoint and project, spoken to over one pool of connections.

Everything that knows how to reach Incus is here: a unix socket on this machine, or the members of a remote cell over
HTTPS, each as good as any other. What goes wrong leaves as one of the `EngineError`s of the protocol, never as an
exception of HTTP.
"""

import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpcore2
import httpx2
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import WebSocketException

from openvps.engine.incus.sftp import Stream
from openvps.engine.protocol import Away, Busy, DiskFull, EngineError, Missing

CONNECT_S = 2.0
ANSWER_S = 5.0
WAIT_S = 4  # whole seconds only: Incus reads an integer; stays under ANSWER_S

SWITCHED, NOT_FOUND, PRECONDITION_FAILED, UNAVAILABLE = 101, 404, 412, 503
SUCCESS = 200  # an operation's status: 1xx is under way, 2xx done, 4xx failed or cancelled
BUSY_TEXTS = (
    "is busy running",
    "matching non-reusable operation",  # the one in our way ended while Incus looked at it
    "already being created",
    "context deadline exceeded",
    "context canceled",
    "database is locked",
)
# The second is how LXC says that it can't write in the instance's folder.
FULL_TEXTS = ("disk quota exceeded", "saving config file for the container failed")
MISSING_TEXTS = ("image not provided",)  # what an unknown fingerprint comes to


def failure(code: int, text: str) -> EngineError:
    """Return the error that Incus's answer means."""
    low = text.lower()
    if any(word in low for word in FULL_TEXTS):
        return DiskFull(text)
    if code == PRECONDITION_FAILED or any(word in low for word in BUSY_TEXTS):
        return Busy(text)
    if code == NOT_FOUND or any(word in low for word in MISSING_TEXTS):
        return Missing(text)
    if code == UNAVAILABLE:
        return Away(text)
    return EngineError(text or f"the engine answered {code}")


class Client:
    """Requests, operations and websockets of one Incus endpoint and project."""

    def __init__(
        self,
        project: str,
        *,
        socket: Path | None = None,
        members: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Reach a daemon by its socket, or a cell by its members' URLs and a context that knows both sides."""
        self._socket = socket
        self._tls = tls
        self._members = ["http://incus"] if socket else list(members)
        self._project = {"project": project}
        self._http = httpx2.AsyncClient(
            transport=httpx2.AsyncHTTPTransport(
                uds=str(socket) if socket else None,
                verify=tls or False,
                trust_env=False,
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=16, keepalive_expiry=60),
            ),
            timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S),
            trust_env=False,
        )

    @property
    def project(self) -> str:
        """The project that is spoken of."""
        return self._project["project"]

    @property
    def local(self) -> bool:
        """Whether the engine runs on this machine."""
        return self._socket is not None

    async def close(self) -> None:
        """Return the connections."""
        await self._http.aclose()

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, **sent: Any
    ) -> AsyncGenerator[httpx2.Response]:
        """Send a request and yield its answer, the body unread."""
        answer = await self._send(method, path, {**self._project, **(query or {})}, sent)
        try:
            yield answer
        except httpx2.HTTPError as error:
            raise Away(f"{method} {path}: {error!r}") from error
        finally:
            await answer.aclose()

    async def _send(
        self, method: str, path: str, query: Mapping[str, str], sent: Mapping[str, Any]
    ) -> httpx2.Response:
        """Ask the members in turn until one takes the request.

        Only what never left is sent to another: what was sent and not answered may have taken effect.
        """
        failure: httpx2.HTTPError | None = None
        for member in list(self._members):
            request = self._http.build_request(method, member + path, params=query, **sent)
            try:
                return await self._http.send(request, stream=True)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
            except httpx2.HTTPError as error:
                self._ask_last(member)
                raise Away(f"{method} {path}: {error!r}") from error
            self._ask_last(member)
        raise Away(f"{method} {path}: {failure!r}") from failure

    def _ask_last(self, member: str) -> None:
        """Have the other members asked before one that didn't answer."""
        if self._members[0] == member:
            self._members = [*self._members[1:], member]

    @asynccontextmanager
    async def upgraded(self, path: str, protocol: str) -> AsyncGenerator[Stream]:
        """Have a connection speak another protocol; what breaks it, at any time, is Away."""
        headers = {"Connection": "Upgrade", "Upgrade": protocol}
        async with self.stream("GET", path, headers=headers) as answer:
            if answer.status_code != SWITCHED:
                await answer.aread()
                raise failure(
                    answer.status_code, f"{path}: the engine answered {answer.status_code}: {answer.text[:500]}"
                )
            try:
                yield answer.extensions["network_stream"]
            except (httpcore2.NetworkError, httpcore2.TimeoutException) as error:
                raise Away(f"{path}: {error!r}") from error

    async def answer(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, **sent: Any
    ) -> tuple[dict[str, Any], str]:
        """Send a request; return its JSON body and ETag."""
        async with self.stream(method, path, query=query, **sent) as answer:
            await answer.aread()
        try:
            body: dict[str, Any] = answer.json()
        except ValueError as error:
            raise failure(answer.status_code, f"{method} {path}: not JSON") from error
        # The status line alone lies: a waited-for operation answers 200 first and fails in its body.
        if body.get("type") == "error":
            raise failure(body.get("error_code") or answer.status_code, body.get("error", ""))
        return body, answer.headers.get("etag", "")

    async def get(self, path: str, **query: str) -> Any:
        """Return the metadata of a GET."""
        return (await self.answer("GET", path, query=query))[0]["metadata"]

    async def begin(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        """Start an operation and return it; it goes on in the engine."""
        return (await self.answer(method, path, **sent))[0]["metadata"]

    async def wait(self, operation: Mapping[str, Any], timeout_s: int = WAIT_S) -> dict[str, Any]:
        """Return the operation, done. Raises Busy while it isn't, and what it failed with."""
        # By id, not by its URL: in a cluster that carries a query of its own.
        path = f"/1.0/operations/{operation['id']}/wait"
        try:
            body, _ = await self.answer(
                "GET",
                path,
                query={"timeout": str(timeout_s)},
                timeout=httpx2.Timeout(timeout_s + 1, connect=CONNECT_S),
            )
        except Missing as error:
            if "Operation not found" not in str(error):
                raise
            # Operations that ended are soon forgotten, and all of them when the daemon restarts.
            raise Busy("the operation has ended, with a result unknown") from error
        done: dict[str, Any] = body["metadata"]
        if done["status_code"] < SUCCESS:
            raise Busy(f"{done['description']} is under way")
        if done["status_code"] > SUCCESS:
            raise failure(done["status_code"], done["err"])
        return done

    async def run(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        """Start an operation and wait for it, as `wait` does."""
        body, _ = await self.answer(method, path, **sent)
        return await self.wait(body["metadata"]) if body["type"] == "async" else body

    @asynccontextmanager
    async def websocket(self, path: str, **query: str) -> AsyncGenerator[ClientConnection]:
        """Open a websocket; what breaks it, at any time, is Away."""
        connection = await self._connected(f"{path}?{urlencode({**self._project, **query})}")
        try:
            yield connection
        except (OSError, WebSocketException) as error:  # TimeoutError is an OSError
            raise Away(f"{path}: {error!r}") from error
        finally:
            connection.transport.abort()  # nothing is owed to the other side: no closing handshake
            await connection.wait_closed()

    async def _connected(self, path: str) -> ClientConnection:
        """Open a websocket at the first member that takes it."""
        failure: Exception | None = None
        how: dict[str, Any] = {"open_timeout": CONNECT_S, "ping_timeout": CONNECT_S, "compression": None}
        for member in list(self._members):
            uri = member.replace("http", "ws", 1) + path
            try:
                if self._socket:
                    return await unix_connect(str(self._socket), uri, **how)
                return await connect(uri, ssl=self._tls, proxy=None, **how)
            except (OSError, WebSocketException) as error:
                failure = error
            self._ask_last(member)
        raise Away(f"{path.partition('?')[0]}: {failure!r}") from failure
