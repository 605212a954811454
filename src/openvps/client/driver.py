"""The two drivers: they send calls over httpx2 and wait, and decide nothing.

with Client("https://cloud.example.org/api/v1", token) as client:
    server = client.servers.create(name="web-1", plan_id=1, os_id=3, location="us-west", wait=True)

async with AsyncClient(url, token) as client:
    async for server in client.servers.list(): ...
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import httpx2

from openvps.client.account import Account, Actions, Metering, SshKeys, Tokens
from openvps.client.answer import Answer
from openvps.client.calls import Call, Lost, Pages, Pause, Reply, Steps
from openvps.client.catalogue import Locations, OperatingSystems, Plans
from openvps.client.copies import Backups, Snapshots
from openvps.client.operation import Async, M, Sync
from openvps.client.sending import Endpoint, page
from openvps.client.servers import Servers
from openvps.client.webhooks import Webhooks

T = TypeVar("T")
A = TypeVar("A", bound=Answer)

BEFORE_SENDING = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class _Api(Generic[M]):
    """What the API offers, by topics."""

    def __init__(
        self,
        url: str,
        token: str | None,
        endpoint: Endpoint | None,
        run: Callable[[Steps[Any]], Any],
        each: Callable[[Pages[Any]], Any],
    ) -> None:
        self.url = url.rstrip("/")
        self.endpoint = endpoint or Endpoint()
        self._headers = {"User-Agent": f"openvps-python/{_version()}", "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self.servers: Servers[M] = Servers(self.endpoint, run, each)
        self.snapshots: Snapshots[M] = Snapshots(self.endpoint, run, each)
        self.backups: Backups[M] = Backups(self.endpoint, run, each)
        self.actions: Actions[M] = Actions(self.endpoint, run, each)
        self.plans: Plans[M] = Plans(self.endpoint, run, each)
        self.operating_systems: OperatingSystems[M] = OperatingSystems(self.endpoint, run, each)
        self.locations: Locations[M] = Locations(self.endpoint, run, each)
        self.ssh_keys: SshKeys[M] = SshKeys(self.endpoint, run, each)
        self.tokens: Tokens[M] = Tokens(self.endpoint, run, each)
        self.account: Account[M] = Account(self.endpoint, run, each)
        self.webhooks: Webhooks[M] = Webhooks(self.endpoint, run, each)
        self.billing: Metering[M] = Metering(self.endpoint, run, each)

    def _request(self, call: Call) -> dict[str, Any]:
        """Return the arguments for httpx2's `request`."""
        headers = {"Idempotency-Key": call.key} if call.key else {}
        return {
            "method": call.method,
            "url": f"{self.url}{call.path}",
            "params": _query(call.query),
            "json": None if call.body is None else dict(call.body),
            "headers": headers,
            "timeout": call.timeout_s,
        }


class Client(_Api[Sync]):
    """A VPS.org API, called synchronously; `http` is for who needs a proxy, a certificate or a stub."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        endpoint: Endpoint | None = None,
        http: httpx2.Client | None = None,
    ) -> None:
        super().__init__(url, token, endpoint, self._run, self._each)
        self._http = http or httpx2.Client()
        self._http.headers.update(self._headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _run(self, steps: Steps[T]) -> T:
        got: Reply | Lost | None = None
        while True:
            try:
                wanted = steps.send(got)
            except StopIteration as done:
                return done.value
            if isinstance(wanted, Pause):
                got = None
                time.sleep(wanted.seconds)
            else:
                got = self._send(wanted)

    def _send(self, call: Call) -> Reply | Lost:
        try:
            return _reply(self._http.request(**self._request(call)))
        except httpx2.TransportError as error:
            return _lost(self.url, error)

    def _each(self, pages: Pages[A]) -> Iterator[A]:
        call: Call | None = pages.first
        while call is not None:
            results, call = self._run(page(self.endpoint, pages, call))
            yield from results


class AsyncClient(_Api[Async]):
    """A VPS.org API, called asynchronously; otherwise the same as `Client`."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        endpoint: Endpoint | None = None,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        super().__init__(url, token, endpoint, self._run, self._each)
        self._http = http or httpx2.AsyncClient()
        self._http.headers.update(self._headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def _run(self, steps: Steps[T]) -> T:
        got: Reply | Lost | None = None
        while True:
            try:
                wanted = steps.send(got)
            except StopIteration as done:
                return done.value
            if isinstance(wanted, Pause):
                got = None
                await asyncio.sleep(wanted.seconds)
            else:
                got = await self._send(wanted)

    async def _send(self, call: Call) -> Reply | Lost:
        try:
            return _reply(await self._http.request(**self._request(call)))
        except httpx2.TransportError as error:
            return _lost(self.url, error)

    async def _each(self, pages: Pages[A]) -> AsyncIterator[A]:
        call: Call | None = pages.first
        while call is not None:
            results, call = await self._run(page(self.endpoint, pages, call))
            for one in results:
                yield one


def _version() -> str:
    try:
        return version("openvps")
    except PackageNotFoundError:  # run from a checkout
        return "0"


def _query(query: Mapping[str, Any] | str) -> Any:
    if isinstance(query, str):
        return query
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in query.items()
        if value is not None
    }


def _reply(answer: httpx2.Response) -> Reply:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Reply(answer.status_code, headers, answer.content)


def _lost(url: str, error: httpx2.TransportError) -> Lost:
    sent = not isinstance(error, BEFORE_SENDING)
    said = str(error) or type(error).__name__
    return Lost(f"no answer from {url}: {said}" if sent else f"can't reach {url}: {said}", sent)
