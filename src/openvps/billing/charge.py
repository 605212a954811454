"""Charging: each hour that a server began becomes one entry of the ledger, whenever this runs and however often.

So does each hour of the clock in which its traffic went beyond what is included. What they cost follows from rate
periods and traffic alone, and how far an account may go into debt from the entries up to then, in the order in which
they were due. So a run that is three days late writes what timely ones would have written. And a transaction may end
anywhere in that order, also between two servers of an account: it is never larger than this process likes it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from openvps.billing import queries
from openvps.billing.hours import Charge
from openvps.billing.queries import Due, Entry, Settled
from openvps.billing.traffic import Moved, Overage, Traffic, is_closed, settle
from openvps.core.db import Connection, Database
from openvps.core.money import MICRO
from openvps.core.settings import Settings
from openvps.ledger.rates import HOUR, LEAST

LANES = 2  # one computes while the other's rows are written
ACCOUNTS = 500  # locked at once
SERVERS = 5_000  # read at once
ROWS = 10_000  # about as many entries a transaction, where servers have several hours due
Later = Sequence[tuple[datetime, int]]


@dataclass(frozen=True)
class Terms:
    """How far charges go into debt, and what a GB of traffic beyond what is included costs; 0: it is free."""

    max_debt_micro: int
    gb_micro: int = 0

    @classmethod
    def of(cls, settings: Settings) -> "Terms":
        """Return those of the settings."""
        return cls(settings.max_debt * MICRO, int(settings.traffic_price * MICRO))


class Bound(NamedTuple):
    """Up to where is charged: by `at`, at that very moment only servers up to `server_id`; None: all."""

    at: datetime
    server_id: int | None

    def of(self, server_id: int) -> datetime:
        """Return by when it is due of a server."""
        return self.at if self.server_id is None or server_id <= self.server_id else self.at - LEAST


async def charge(database: Database, terms: Terms, *, at: datetime | None = None) -> int:
    """Charge what is due by `at`, by default now; returns how many hours, and ends of servers."""
    return sum(await asyncio.gather(*(_charge_all(database, terms, at) for _ in range(LANES))))


async def _charge_all(database: Database, terms: Terms, at: datetime | None) -> int:
    """Charge until nothing is left that nobody else is at."""
    total = 0
    while True:
        async with database.begin() as conn:
            charged = await charge_some(conn, terms, at=at)
        if not charged:
            return total
        total += charged


async def charge_some(conn: Connection, terms: Terms, *, at: datetime | None = None) -> int:
    """Charge what is due of some accounts, the oldest first; returns how much, 0 when there is nothing left to do."""
    accounts = await queries.lock_due(conn, at, limit=ACCOUNTS)
    if not accounts:
        return 0
    until = at or await queries.moment(conn)  # after the lock: nothing is written behind it any more
    due = await queries.due(conn, accounts, until, limit=SERVERS)
    if not due:
        return 0
    bound = _bound(due, until)
    moved = await queries.moved(conn, due, bound.at)
    work: dict[int, list[_Work]] = defaultdict(list)
    for one in due:
        if one.due_at <= (by := bound.of(one.server.server_id)):
            work[one.account_id].append(_Work(one, moved.get(one.server.server_id, {}), by))
    totals = await queries.balances(conn, list(work))
    credited = await queries.credits_since(conn, list(work), due[0].due_at)
    entries: list[Entry] = []
    for account_id, mine in work.items():
        later = credited.get(account_id, [])
        balance = totals.get(account_id, 0) - sum(amount for _, amount in later)
        entries += [Entry.of(account_id, one, cost) for one, cost in _down_to(mine, balance, later, terms)]
    settled = [one.settled() for mine in work.values() for one in mine]
    await queries.append(conn, entries, settled)
    return sum(one.hours + one.is_last for one in settled)


def _bound(due: Sequence[Due], until: datetime) -> Bound:
    """Return up to where one transaction charges: some time, or as far as the last server that was read."""
    last = due[-1]
    end = min(until, due[0].due_at + max(1, ROWS // len(due)) * HOUR)
    if len(due) == SERVERS and last.due_at <= end:
        return Bound(last.due_at, last.server.server_id)
    return Bound(end, None)


class _Work:
    """What is due of a server by a moment."""

    __slots__ = ("_has_overages", "_hours", "_is_last", "_known", "_month", "_paid", "charges", "server_id")

    def __init__(self, due: Due, moved: Moved, until: datetime) -> None:
        self.server_id = due.server.server_id
        self._hours = list(due.server.charges(until))
        overages, self._known = settle(due.server, due.traffic, moved, until) if due.traffic else ([], None)
        self._is_last = due.traffic is not None and is_closed(due.server, until)
        self.charges: list[Charge | Overage] = [*self._hours, *overages]
        self._has_overages = bool(overages)
        self._paid = due.traffic or Traffic(until)  # with what it cost
        self._month = due.month

    def pay(self, one: Charge | Overage, gb_micro: int, room_micro: int) -> int:
        """Note, and return, what of a charge may be taken; in their order."""
        if isinstance(one, Charge):
            cost = min(one.amount_micro, room_micro)
        else:
            month = self._paid.moved_to(one.at)
            cost = min(one.cost(gb_micro, month.charged_micro), room_micro)
            self._paid = month._replace(charged_micro=month.charged_micro + cost)
        self._month = self._month.with_charge(one.at, cost)
        return cost

    def settled(self) -> Settled:
        """Return what is noted of the server when its charges are entered."""
        known = self._known
        if known is not None and self._has_overages:
            known = known._replace(charged_micro=self._paid.moved_to(known.at).charged_micro)
        last = self._hours[-1].at if self._hours else None
        return Settled(self.server_id, len(self._hours), last, known, self._month, self._is_last)


def _down_to(
    work: Iterable[_Work], balance: int, later: Later, terms: Terms
) -> Iterator[tuple[Charge | Overage, int]]:
    """Yield the charges, and what of them may be taken: one that would exceed the debt takes the balance just there.

    It is noted in the servers' work.
    """
    charges = sorted(
        ((each, one) for one in work for each in one.charges), key=lambda both: (both[0].due_at, both[0].server_id)
    )
    coming = iter([*later, (None, 0)])
    moment, amount = next(coming)
    for each, one in charges:
        while moment is not None and moment <= each.due_at:
            balance += amount
            moment, amount = next(coming)
        cost = one.pay(each, terms.gb_micro, max(0, balance + terms.max_debt_micro))
        balance -= cost
        yield each, cost
