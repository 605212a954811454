"""Incus's REST API as preparing a machine needs it: one request after another, and patience.

Servers' machines are spoken to in `engine/incus`; here are the daemon, projects and pools.
"""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

NOT_FOUND = 404
SUCCESS = 200


class IncusFailed(Exception):
    """The daemon refused, or what it began failed."""

    def __init__(self, what: str, text: str, code: int) -> None:
        super().__init__(f"{what}: {text}")
        self.code = code


class Incus:
    """Requests to the daemon behind a socket; used as a context manager."""

    def __init__(self, socket: Path, *, timeout_s: float = 60) -> None:
        self._http = httpx2.Client(
            transport=httpx2.HTTPTransport(uds=str(socket)),
            base_url="http://incus",
            timeout=timeout_s,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: str) -> Any:
        """Return the metadata of a GET. Raises IncusFailed."""
        return self._ask("GET", path, None, query)["metadata"]

    def find(self, path: str, **query: str) -> Any | None:
        """Return the metadata of a GET, None where there is no such thing."""
        try:
            return self.get(path, **query)
        except IncusFailed as error:
            if error.code != NOT_FOUND:
                raise
            return None

    def begin(self, method: str, path: str, body: Any = None, **query: str) -> str | None:
        """Ask for a change and return the operation that it takes, None if it is done at once."""
        answer = self._ask(method, path, body, query)
        return answer["metadata"]["id"] if answer["type"] == "async" else None

    def wait(self, operation: str, timeout_s: int = 300) -> None:
        """Wait for an operation. Raises IncusFailed with what it failed with."""
        path = f"/1.0/operations/{operation}/wait"
        done = self._ask("GET", path, None, {"timeout": str(timeout_s)}, timeout_s=timeout_s + 5)["metadata"]
        if done["status_code"] != SUCCESS:
            raise IncusFailed(
                done["description"], done["err"] or f"not done after {timeout_s} s", done["status_code"]
            )

    def do(self, method: str, path: str, body: Any = None, **query: str) -> None:
        """Change something and wait until it is done."""
        if operation := self.begin(method, path, body, **query):
            self.wait(operation)

    def _ask(
        self, method: str, path: str, body: Any, query: dict[str, str], *, timeout_s: float | None = None
    ) -> dict[str, Any]:
        what = f"{method} {path}"
        try:
            answer = self._http.request(
                method,
                path,
                params=query,
                json=body,
                timeout=httpx2.USE_CLIENT_DEFAULT if timeout_s is None else timeout_s,
            )
            said: dict[str, Any] = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise IncusFailed(what, repr(error), 0) from error
        if said.get("type") == "error":
            raise IncusFailed(what, said["error"], said["error_code"])
        return said
