"""Guesses: how many wrong tokens, passwords and invites one client, and one e-mail, may send.

A sliding window in this process's memory: each api process counts for itself, and forgets when it ends. That is
enough against guessing, and no row is written for who has no account. An attempt is counted before its (slow) check
and forgiven when it was right: so that many at once are no way around.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from openvps.core.errors import TooMany

WINDOW_S = 600
FOR_ONE_EMAIL = 10
MAX_KEYS = 20_000  # the least recent is forgotten: some MB at most
V6_SITE = 64  # bits of an IPv6 address that one customer of a provider has all of


class Throttle:
    """Attempts by key in the last ten minutes, at most `allowed` of them."""

    def __init__(self, allowed: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed = allowed
        self._clock = clock
        self._attempts: OrderedDict[str, deque[float]] = OrderedDict()

    def count(self, key: str) -> None:
        """Count an attempt that may be wrong. Raises TooMany."""
        now, attempts = self._clock(), self._attempts.setdefault(key, deque())
        self._attempts.move_to_end(key)
        while attempts and attempts[0] <= now - WINDOW_S:
            attempts.popleft()
        if len(attempts) >= self._allowed:
            wait = int(attempts[0] + WINDOW_S - now) + 1
            raise TooMany(f"Too many failed attempts. Try again in {wait} seconds.", retry_after_s=wait)
        attempts.append(now)
        if len(self._attempts) > MAX_KEYS:
            self._attempts.popitem(last=False)

    def forgive(self, key: str) -> None:
        """Take back the latest attempt: it was right."""
        if attempts := self._attempts.get(key):
            attempts.pop()


class Guesses:
    """The two counts of one api process."""

    def __init__(self, allowed: int) -> None:
        self.by_client = Throttle(allowed)
        self.by_email = Throttle(FOR_ONE_EMAIL)


def client_key(address: str | None) -> str:
    """Return what a client is counted by: its IPv4 address, or its IPv6 network of 64 bits."""
    if address is None:
        return ""
    ip = ip_address(address)
    return str(int(ip) >> (128 - V6_SITE)) if isinstance(ip, IPv6Address) else str(ip)
