"""Charging: each hour that a server began becomes one entry of the ledger, whenever this runs and however often.

So does each hour of the clock in which its traffic went beyond what is included. What they cost follows from rate
periods and traffic alone, and how far an account may go into debt from the entries up to then, in the order in which
they were due. So a run that is three days late writes what timely ones would have written.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from openvps.billing import queries
from openvps.billing.hours import Charge
from openvps.billing.queries import Due, Entry, Settled
from openvps.billing.traffic import Moved, Overage, Traffic, is_closed, settle
from openvps.core.db import Connection, Database
from openvps.core.money import MICRO
from openvps.core.settings import Settings
from openvps.ledger.rates import HOUR

ACCOUNTS = 500  # locked at once
ROWS = 20_000  # about as many entries a transaction


@dataclass(frozen=True)
class Terms:
    """How far charges go into debt, and what a GB of traffic beyond what is included costs; 0: it is free."""

    max_debt_micro: int
    gb_micro: int = 0

    @classmethod
    def of(cls, settings: Settings) -> "Terms":
        """Return those of the settings."""
        return cls(settings.max_debt * MICRO, int(settings.traffic_price * MICRO))


async def charge(database: Database, terms: Terms, *, at: datetime | None = None) -> int:
    """Charge what is due by `at`, by default now; returns how many hours, and ends of servers."""
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
    due = await queries.due(conn, accounts, until)
    servers = [one for mine in due.values() for one in mine]
    first = min((one.due_at for one in servers), default=until)
    last = min(until, first + max(1, ROWS // max(1, len(servers))) * HOUR)
    totals = await queries.balances(conn, accounts)
    credited = await queries.credits_since(conn, accounts, first)
    moved = await queries.moved(conn, servers, last)
    entries: list[Entry] = []
    settled: list[Settled] = []
    for account_id, mine in due.items():
        later = credited.get(account_id, [])
        balance = totals.get(account_id, 0) - sum(amount for _, amount in later)
        work = [_Work(one, moved.get(one.server.server_id, {}), last) for one in mine]
        charges = sorted((each for one in work for each in one.charges), key=lambda one: (one.due_at, one.server_id))
        paid = {one.server.server_id: one.traffic for one in mine if one.traffic}
        entries += [Entry.of(account_id, one, cost) for one, cost in _down_to(charges, balance, later, terms, paid)]
        settled += [one.settled(paid) for one in work]
    await queries.append(conn, entries, settled)
    return sum(one.hours + one.is_last for one in settled)


class _Work:
    """What is due of a server by a moment."""

    def __init__(self, due: Due, moved: Moved, until: datetime) -> None:
        self._due = due
        self._hours = list(due.server.charges(until))
        overages, self._known = settle(due.server, due.traffic, moved, until) if due.traffic else ([], None)
        self._is_last = due.traffic is not None and is_closed(due.server, until)
        self.charges: list[Charge | Overage] = [*self._hours, *overages]

    def settled(self, paid: Mapping[int, Traffic]) -> Settled:
        """Return what is noted of the server when its charges are entered; `paid`: its traffic with what it cost."""
        number, known = self._due.server.server_id, self._known
        if known is not None:
            known = replace(known, charged_micro=paid[number].moved_to(known.at).charged_micro)
        last = self._hours[-1].at if self._hours else None
        return Settled(number, len(self._hours), last, known, is_last=self._is_last)


def _down_to(
    charges: Iterable[Charge | Overage],
    balance: int,
    later: Iterable[tuple[datetime, int]],
    terms: Terms,
    paid: dict[int, Traffic],
) -> Iterator[tuple[Charge | Overage, int]]:
    """Yield the charges, and what of them may be taken: one that would exceed the debt takes the balance just there.

    What traffic costs is added to `paid`.
    """
    coming = iter([*later, (None, 0)])
    moment, amount = next(coming)
    for one in charges:
        while moment is not None and moment <= one.due_at:
            balance += amount
            moment, amount = next(coming)
        room = max(0, balance + terms.max_debt_micro)
        if isinstance(one, Charge):
            cost = min(one.amount_micro, room)
        else:
            month = paid[one.server_id].moved_to(one.at)
            cost = min(one.cost(terms.gb_micro, month.charged_micro), room)
            paid[one.server_id] = replace(month, charged_micro=month.charged_micro + cost)
        balance -= cost
        yield one, cost
