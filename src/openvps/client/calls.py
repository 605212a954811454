"""Requests and answers as values: what is to be sent is described here, and sent by a driver.

An operation is a generator: it yields a `Call` and is sent the `Reply` (or `Lost`), or yields a `Pause`; what it
returns is its result. So retries, waiting and paging are written once, for the sync and the async client, and are
tested without a network.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")

Reference: TypeAlias = int | str  # an id or a UUID
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Call:
    """A request, by its path under the base URL."""

    method: str
    path: str
    query: Mapping[str, Any] | str = field(default_factory=dict[str, Any])  # what is None is left out
    body: Mapping[str, Any] | None = None
    key: str | None = None  # sent as Idempotency-Key
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True)
class Reply:
    """An answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def retry_after_s(self) -> float | None:
        """How many seconds the API asks to wait."""
        text = self.headers.get("retry-after", "")
        if text.isascii() and text.isdecimal():
            return float(text)
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        return max(0.0, (at - datetime.now(UTC)).total_seconds())


@dataclass(frozen=True)
class Lost:
    """No answer came; `sent` is whether the request may have arrived."""

    reason: str
    sent: bool


@dataclass(frozen=True)
class Pause:
    """Wait, before the operation goes on."""

    seconds: float


Steps: TypeAlias = Generator[Call | Pause, Any, T]


@dataclass(frozen=True)
class Pages(Generic[T]):
    """A list: the call for its first page, and what each result is."""

    first: Call
    item: type[T]
