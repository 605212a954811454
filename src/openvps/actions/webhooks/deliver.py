"""The worker's job: send a webhook what waits for it.

A lane is one server's deliveries (or those that are about none). Of each, the oldest is taken, sent, and noted as
delivered or to be tried again; only then comes the next. Taking is a row's change, committed before anything is sent:
a worker that dies in between leaves the delivery to be sent again, with the same id, when its `LEASE` is over. So a
delivery comes at least once and in order; twice only where a worker died, or lost the answer, while sending it.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from openvps.actions.changes import Changes
from openvps.actions.webhooks import queries, signing
from openvps.core import jobs, log, metrics, outward
from openvps.core.clock import now
from openvps.core.db import Connection, Database, Record
from openvps.core.settings import Settings

LANES = 4  # of a webhook, at once
WEBHOOKS = 64  # of a worker, at once: slow receivers leave room for servers' jobs
PATIENCE_S = 30.0  # of a job, then another webhook's turn comes
LEASE = timedelta(seconds=60)
WAITS_S = (5, 30, 120, 600, 1800, 3600, 7200, 14400)  # after the first, second, ... failure; then the last again
MOST_RETRY_AFTER_S = 3600
DISABLED_AFTER = timedelta(days=3)
GONE = 410
AT_ONCE = 500  # webhooks that a turn of the sweep wakes

logger = log.get(__name__)


@dataclass(frozen=True)
class Attempt:
    """How sending went: an answer's status, or why there was none."""

    status: int | None
    error: str | None
    retry_after_s: int | None = None

    @property
    def good(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 -- what HTTP calls success


def _keys(target: Record, at: datetime) -> list[bytes]:
    """Return what signs now: the secret, and the one before it until its time is over."""
    until = target.previous_secret_until
    return [target.secret, *([target.previous_secret] if until is not None and until > at else [])]


def message_id(delivery: Record) -> str:
    """Return what a delivery's receiver knows it by, at every attempt."""
    return f"msg_{delivery.uuid.hex}"


class Courier:
    """Sends deliveries; one a worker."""

    def __init__(self, database: Database, settings: Settings, *, resolve: outward.Resolve | None = None) -> None:
        self._database, self._settings, self._resolve = database, settings, resolve
        self._busy = 0

    async def deliver(self, webhook_id: int) -> None:
        """Send what is due for a webhook, for a while."""
        if self._busy >= WEBHOOKS:  # the sweep comes again
            return
        self._busy += 1
        try:
            rules, clock = await self._rules(), asyncio.get_running_loop().time
            end = clock() + PATIENCE_S
            while (more := await self._turn(webhook_id, rules)) and clock() < end:
                pass
        finally:
            self._busy -= 1
        async with self._database.begin() as conn:
            await queries.hold_back(conn, webhook_id)
            if more:
                await wake(conn, webhook_id)

    async def _turn(self, webhook_id: int, rules: outward.Rules) -> bool:
        """Send the oldest delivery of some lanes; False: nothing is due."""
        at = now()
        async with self._database.begin() as conn:
            target = await queries.target(conn, webhook_id)
            if target is None:
                return False
            taken = await queries.take(conn, webhook_id, at, at + LEASE, most=LANES)
        if not taken:
            return False
        attempts = await asyncio.gather(*(self._send(target, one, rules) for one in taken))
        async with self._database.begin() as conn:
            await self._note(conn, target, list(zip(taken, attempts, strict=True)), now())
        return True

    async def _send(self, target: Record, delivery: Record, rules: outward.Rules) -> Attempt:
        body = json.dumps(delivery.body, separators=(",", ":"), ensure_ascii=False).encode()
        headers = [
            ("Content-Type", "application/json"),
            ("User-Agent", "OpenVPS"),
            *signing.headers(_keys(target, now()), message_id(delivery), now(), body),
        ]
        try:
            answer = await outward.post(target.url, headers, body, rules, resolve=self._resolve)
        except outward.OutwardError as error:
            return Attempt(None, str(error))
        attempt = Attempt(answer.status, None, answer.retry_after_s)
        if attempt.good:
            return attempt
        said = f": {answer.text}" if answer.text else "."
        return Attempt(answer.status, f"The receiver answered {answer.status}{said}", answer.retry_after_s)

    async def _note(
        self, conn: Connection, target: Record, ended: Sequence[tuple[Record, Attempt]], at: datetime
    ) -> None:
        for delivery, attempt in ended:
            again = at + timedelta(seconds=_wait_s(delivery.attempts, attempt.retry_after_s))
            status = "delivered" if attempt.good else "pending" if again < delivery.give_up_at else "failed"
            metrics.WEBHOOK_ATTEMPTS.labels(status).inc()
            await queries.end(
                conn, delivery, status=status, next_at=again, answer=attempt.status, error=attempt.error
            )
            logger.info(
                "webhook_sent",
                webhook=target.id,
                delivery=delivery.id,
                attempt=delivery.attempts,
                answer=attempt.status,
                error=attempt.error,
            )
        attempts = [attempt for _, attempt in ended]
        if any(one.status == GONE for one in attempts):
            await _disable(conn, target, f"Its receiver answered {GONE}: it wants nothing any more.", at)
        elif any(one.good for one in attempts):
            if await queries.note_success(conn, target.id):
                await queries.release(conn, target.id, at)
        elif (since := await queries.note_failure(conn, target.id, at)) and at - since > DISABLED_AFTER:
            await _disable(conn, target, f"No delivery succeeded for {DISABLED_AFTER.days} days.", at)

    async def _rules(self) -> outward.Rules:
        """Return what may be called; cells are ours, and not for customers to call."""
        async with self._database.read() as conn:
            members = await queries.members(conn)
        refused: set[outward.Address] = set()
        for member in members:
            host = urlsplit(member).hostname or ""
            with contextlib.suppress(OSError):
                found = await asyncio.get_running_loop().getaddrinfo(host, None)
                refused |= {ip_address(one[4][0]) for one in found}
        return outward.Rules(self._settings.webhook_networks, frozenset(refused), self._settings.webhook_ca)


def _wait_s(attempts: int, retry_after_s: int | None) -> float:
    """Return how long to wait after so many attempts; not all at the same moment."""
    wait_s = WAITS_S[min(attempts, len(WAITS_S)) - 1]
    asked_s = min(retry_after_s or 0, MOST_RETRY_AFTER_S)
    return max(wait_s * random.uniform(0.9, 1.1), asked_s)  # noqa: S311 -- spreads load, guards nothing


async def _disable(conn: Connection, target: Record, reason: str, at: datetime) -> None:
    if await queries.disable(conn, target.id, reason, at) is not None:
        told = f"The webhook {target.url[:200]} was disabled. {reason} Enable it when its receiver is there again."
        await queries.tell(conn, target.account_id, "webhook_disabled", told)
        logger.warning("webhook_disabled", webhook=target.id, account=target.account_id, reason=reason)


async def wake(conn: Connection, webhook_id: int, *, priority: int = jobs.SWEEP) -> None:
    """Have a worker send what waits for a webhook."""
    await jobs.defer(conn, jobs.DELIVER_WEBHOOK, f"webhook:{webhook_id}", priority=priority, webhook_id=webhook_id)


async def sweep(database: Database) -> None:
    """Wake what is due: retries, and what word was lost of."""
    async with database.begin() as conn:
        for webhook_id in sorted(await queries.due(conn, now(), limit=AT_ONCE)):
            await wake(conn, webhook_id)


async def follow(database: Database, changes: Changes) -> None:
    """Wake webhooks as their deliveries are added; ends when cancelled."""
    with changes.words("webhook") as words:
        while True:
            told = {await words.get()}
            while not words.empty():
                told.add(words.get_nowait())
            try:
                async with database.begin() as conn:
                    for webhook_id in sorted(told):
                        await wake(conn, webhook_id)
            except Exception:  # the sweep finds them
                logger.exception("webhooks_not_woken")
