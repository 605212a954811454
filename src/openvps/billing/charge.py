"""Charging: each hour that a server began becomes one entry of the ledger, whenever this runs and however often.

What an hour costs follows from the rate periods alone, and how far an account may go into debt from the entries up to
that hour, in the order of the hours. So a run that is three days late writes what timely ones would have written.
"""

from datetime import datetime

from openvps.billing import queries
from openvps.billing.hours import Charge, Metered
from openvps.core.db import Connection, Database
from openvps.ledger.rates import HOUR

ACCOUNTS = 500  # locked at once
ROWS = 20_000  # about as many entries a transaction


async def charge(database: Database, *, max_debt_micro: int, at: datetime | None = None) -> int:
    """Charge every hour that began by `at`, by default now; returns how many."""
    total = 0
    while True:
        async with database.begin() as conn:
            charged = await charge_some(conn, max_debt_micro=max_debt_micro, at=at)
        if not charged:
            return total
        total += charged


async def charge_some(conn: Connection, *, max_debt_micro: int, at: datetime | None = None) -> int:
    """Charge due hours of some accounts, the oldest first; returns how many, 0 when there is nothing left to do."""
    accounts = await queries.lock_due(conn, at, limit=ACCOUNTS)
    if not accounts:
        return 0
    until = at or await queries.moment(conn)  # after the lock: nothing is written behind it any more
    due = await queries.due(conn, accounts, until)
    hours = max(1, ROWS // max(1, sum(len(servers) for servers in due.values())))
    totals = await queries.balances(conn, accounts)
    first = min((one.due_at for servers in due.values() for one in servers), default=until)
    credited = await queries.credits_since(conn, accounts, first)
    charges: list[tuple[int, Charge]] = []
    for account_id, servers in due.items():
        begin = min(one.due_at for one in servers)
        later = [one for one in credited.get(account_id, []) if one[0] > begin]
        balance = totals.get(account_id, 0) - sum(amount for _, amount in later)
        hours_due = _in_order(servers, min(until, begin + hours * HOUR))
        charges += [(account_id, one) for one in _down_to(hours_due, balance, later, -max_debt_micro)]
    await queries.append(conn, charges)
    return len(charges)


def _in_order(servers: list[Metered], until: datetime) -> list[Charge]:
    return sorted(
        (one for server in servers for one in server.charges(until)), key=lambda one: (one.at, one.server_id)
    )


def _down_to(charges: list[Charge], balance: int, later: list[tuple[datetime, int]], least: int) -> list[Charge]:
    """Return what of the charges may be taken: an hour that would take the balance below `least` takes it there."""
    taken: list[Charge] = []
    coming = iter([*later, (None, 0)])
    moment, amount = next(coming)
    for one in charges:
        while moment is not None and moment <= one.at:
            balance += amount
            moment, amount = next(coming)
        cost = min(one.amount_micro, max(0, balance - least))
        balance -= cost
        taken.append(one if cost == one.amount_micro else Charge(one.at, one.server_id, cost))
    return taken
