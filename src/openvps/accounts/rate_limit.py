"""How often a token may ask: a bucket of requests, refilled evenly; and when it was last used.

Each api process counts in its memory, which costs a request next to nothing, and settles with the database every few
seconds: it adds what it counted and learns what all have counted. So reading writes nothing, and the budget is one
for all processes. The error: between two settlements a process doesn't know of the others, so that a token may get
through, once, what the other processes let pass in `SETTLE_S` seconds. It is counted all the same and waited for
later: in the long run the limit holds. An answer that is lost while settling may count twice; none is lost.

The headers are the three that GitHub, DigitalOcean and Hetzner have, whose clients are there: `RateLimit-Limit` (the
bucket's size), `-Remaining`, and `-Reset`, the Unix time at which the bucket is full again. Not the IETF's current
draft (two structured fields, `RateLimit: "default";r=50;t=30`): it isn't finished and no client of such an API reads
it. Its older drafts have these three names, with `Reset` in seconds from now; but where the three are in use for
servers, `Reset` is a time. Who would rather not care waits as `Retry-After` says, which is in seconds everywhere.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy.exc

from openvps.accounts import queries
from openvps.core import log
from openvps.core.db import Database
from openvps.core.errors import TooMany

SETTLE_S = 5.0
HOUR_S = 3600

Headers = list[tuple[bytes, bytes]]
logger = log.get(__name__)


@dataclass
class _Count:
    """What is known of one token: `used` as of `at`, `unsettled` of it known here alone."""

    at: float
    used: float = 0.0
    unsettled: int = 0
    seen_at: float = 0.0


class RateLimit:
    """The counts of one api process. `an_hour` 0: no limit, but last uses are noted."""

    def __init__(self, *, an_hour: int, burst: int, clock: Callable[[], float] = time.time) -> None:
        self._per_s = an_hour / HOUR_S
        self._burst = burst
        self._clock = clock
        self._counts: dict[int, _Count] = {}

    def take(self, token_id: int, answer_headers: Headers) -> None:
        """Count a request and tell the client where it stands. Raises TooMany."""
        now = self._clock()
        count = self._counts.get(token_id)
        if count is None:
            count = self._counts[token_id] = _Count(now)
        count.seen_at = now
        if not self._per_s:
            return
        self._refill(count, now)
        allowed = count.used + 1 <= self._burst
        if allowed:
            count.used += 1
            count.unsettled += 1
        answer_headers += (
            (b"ratelimit-limit", b"%d" % self._burst),
            (b"ratelimit-remaining", b"%d" % max(0, self._burst - count.used)),
            (b"ratelimit-reset", b"%d" % math.ceil(now + count.used / self._per_s)),
        )
        if not allowed:
            wait = max(1, math.ceil((count.used + 1 - self._burst) / self._per_s))
            raise TooMany(f"Too many requests with this token. Try again in {wait} s.", retry_after_s=wait)

    def _refill(self, count: _Count, now: float) -> None:
        count.used = max(0.0, count.used - max(0.0, now - count.at) * self._per_s)
        count.at = now

    async def settle(self, database: Database) -> None:
        """Add what was counted to what the database knows, and learn what others counted."""
        told = {number: (count.unsettled, count.seen_at) for number, count in self._counts.items() if count.seen_at}
        if not told:
            return
        uses = [
            queries.TokenUse(number, requests, datetime.fromtimestamp(seen_at, UTC))
            for number, (requests, seen_at) in sorted(told.items())
        ]
        async with database.begin() as conn:
            used = await queries.settle_token_use(conn, uses, per_s=self._per_s)
        # Only now: what wasn't committed is counted again the next time.
        now = self._clock()
        for number, (requests, seen_at) in told.items():
            count = self._counts[number]
            count.unsettled -= requests
            count.used, count.at = used.get(number, 0.0) + count.unsettled, now
            if count.seen_at == seen_at:
                count.seen_at = 0.0
        self._forget_the_idle(now)

    def _forget_the_idle(self, now: float) -> None:
        for number, count in list(self._counts.items()):
            self._refill(count, now)
            if not count.seen_at and not count.unsettled and not count.used:
                del self._counts[number]

    async def keep_settling(self, database: Database) -> None:
        """Settle every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(SETTLE_S)
            await self.try_to_settle(database)

    async def try_to_settle(self, database: Database) -> None:
        """Settle; where the database is away, what was counted is kept for the next time."""
        try:
            await self.settle(database)
        except (sqlalchemy.exc.SQLAlchemyError, OSError) as error:
            logger.warning("use_not_settled", error=str(error).partition("\n")[0])
