"""The SQL of charging: many rows in few statements, and no more of Python than what is computed of them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import DateTime, func, select, text

from openvps.billing.hours import Charge, Metered, Period, month_of
from openvps.billing.traffic import SETTLED, Moved, Overage, Traffic, clock
from openvps.core.db import Connection, Record
from openvps.schema import ledger_entry, ledger_total

HOUR, TRAFFIC = "hour", "traffic"  # the entries' kinds
A_MONTH = timedelta(days=32)  # longer than any: earlier rates don't matter to a month's hours


class Month(NamedTuple):
    """What is charged of a server's newest month, so far; `at`: its begin."""

    at: datetime | None = None
    micro: int = 0

    def with_charge(self, at: datetime, micro: int) -> "Month":
        """Return the same with another charge, of an hour that began at `at`."""
        begin = month_of(at)[0]
        if self.at is None or begin > self.at:
            return Month(begin, micro)
        return Month(begin, self.micro + micro) if begin == self.at else self


class Due(NamedTuple):
    """A server with something to charge."""

    account_id: int
    server: Metered
    traffic: Traffic | None  # what of it is charged; None: all
    month: Month

    @property
    def due_at(self) -> datetime:
        """When the first of it was due."""
        one = self.server
        return one.due_at or (one.ended_at or one.started_at) + SETTLED


class Settled(NamedTuple):
    """What is charged of a server: the last of some hours, and its traffic; `is_last`: no more will come."""

    server_id: int
    hours: int
    last_at: datetime | None
    traffic: Traffic | None
    month: Month
    is_last: bool


class Entry(NamedTuple):
    """A charge as it is entered."""

    account_id: int
    server_id: int
    at: datetime
    kind: str
    amount_micro: int
    traffic_bytes: int | None

    @classmethod
    def of(cls, account_id: int, one: Charge | Overage, cost_micro: int) -> "Entry":
        """Return the entry of a charge that costs so much."""
        if isinstance(one, Charge):
            return cls(account_id, one.server_id, one.at, HOUR, -cost_micro, None)
        return cls(account_id, one.server_id, one.at, TRAFFIC, -cost_micro, one.over_bytes - one.before_bytes)


# hours of a server, or after its end the last of its traffic, are to be charged
_IS_DUE = "(due_at <= :at OR traffic_at IS NOT NULL AND ended_at <= :closing)"
_LOCK_DUE = text(
    f"SELECT id FROM account WHERE id IN (SELECT account_id FROM meter WHERE {_IS_DUE})"
    " ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED"
)
_DUE = text(
    "SELECT server_id, account_id, started_at, ended_at, due_at, traffic_at, received_bytes, sent_bytes, over_bytes,"
    f" over_micro, month_at, month_micro FROM meter WHERE account_id = ANY(CAST(:accounts AS bigint[])) AND {_IS_DUE}"
    " ORDER BY coalesce(due_at, ended_at + :settled), server_id LIMIT :limit"
)
_PERIODS = text(
    "SELECT server_id, begins_at, price_monthly_micro, bandwidth_gb FROM rate_period"
    " WHERE server_id = ANY(CAST(:servers AS bigint[])) AND (ends_at IS NULL OR ends_at > :since)"
    " ORDER BY server_id, begins_at"
)
_MOVED = text(
    "SELECT server_id, hour, received_bytes, sent_bytes FROM usage_hour"
    " WHERE server_id = ANY(CAST(:servers AS bigint[])) AND hour >= :since AND hour < :before"
)


def _array(values: Iterable[int | str | datetime | None]) -> str:
    """Write numbers, moments or names of ours as PostgreSQL reads an array: the driver takes long for thousands."""
    return "{" + ",".join(["NULL" if one is None else str(one) for one in values]) + "}"


async def lock_due(conn: Connection, at: datetime | None, *, limit: int) -> list[int]:
    """Lock some accounts that have something to charge; those that others hold are left for the next turn."""
    until = at or await moment(conn)
    asked = {"at": until, "closing": until - SETTLED, "limit": limit}
    return list((await conn.execute(_LOCK_DUE, asked)).scalars())


async def moment(conn: Connection) -> datetime:
    """Return the moment by the clock that all processes share."""
    return (await conn.execute(select(func.clock_timestamp(type_=DateTime(timezone=True))))).scalar_one()


async def due(conn: Connection, accounts: Sequence[int], at: datetime, *, limit: int) -> list[Due]:
    """Return servers with something to charge, in the order in which it was due and of their ids."""
    asked = {"accounts": _array(accounts), "at": at, "closing": at - SETTLED, "settled": SETTLED, "limit": limit}
    rows = (await conn.execute(_DUE, asked)).all()
    if not rows:
        return []
    since = min(min(row.due_at or row.traffic_at, row.traffic_at or row.due_at) for row in rows)
    known = await periods(conn, [row.server_id for row in rows], since=since - A_MONTH)
    return [due_of(row, known[row.server_id]) for row in rows]


async def periods(conn: Connection, servers: Sequence[int], *, since: datetime) -> dict[int, list[Period]]:
    """Return the rate periods of some servers, those that have ended by `since` left out."""
    asked = {"servers": _array(servers), "since": since}
    found: dict[int, list[Period]] = defaultdict(list)
    for server_id, begins_at, price, gb in (await conn.execute(_PERIODS, asked)).all():
        found[server_id].append(Period(begins_at, price, gb))
    return found


def due_of(row: Record, known: Sequence[Period]) -> Due:
    """Return what is made of a row of `meter` and its periods."""
    server = Metered(row.server_id, row.started_at, row.ended_at, row.due_at, known)
    traffic = traffic_of(row) if row.traffic_at else None
    return Due(row.account_id, server, traffic, Month(row.month_at, row.month_micro))


def traffic_of(row: Record) -> Traffic:
    """Return what of its traffic is charged."""
    at = row.traffic_at or clock(row.ended_at or row.started_at)
    return Traffic(at, row.received_bytes, row.sent_bytes, row.over_bytes, row.over_micro)


async def moved(conn: Connection, due: Iterable[Due], before: datetime) -> dict[int, Moved]:
    """Return what servers received and sent in the hours of the clock that aren't charged."""
    found: dict[int, dict[datetime, tuple[int, int]]] = defaultdict(dict)
    since = {one.server.server_id: one.traffic.at for one in due if one.traffic}
    if since:
        asked = {"servers": _array(since), "since": min(since.values()), "before": before}
        for server_id, hour, received, sent in (await conn.execute(_MOVED, asked)).all():
            found[server_id][hour] = received, sent
    return dict(found)


async def balances(conn: Connection, accounts: Sequence[int]) -> dict[int, int]:
    """Return the sums of the accounts' entries; an account without any is left out."""
    columns = (ledger_total.c.account_id, ledger_total.c.amount_micro)
    rows = await conn.execute(select(*columns).where(ledger_total.c.account_id.in_(accounts)))
    return {row[0]: int(row[1]) for row in rows}


async def credits_since(
    conn: Connection, accounts: Sequence[int], since: datetime
) -> dict[int, list[tuple[datetime, int]]]:
    """Return what was credited or adjusted after `since`, oldest first."""
    found: dict[int, list[tuple[datetime, int]]] = defaultdict(list)
    for row in await conn.execute(
        select(ledger_entry.c.account_id, ledger_entry.c.at, ledger_entry.c.amount_micro)
        .where(
            ledger_entry.c.account_id.in_(accounts),
            ledger_entry.c.kind.not_in([HOUR, TRAFFIC]),
            ledger_entry.c.at > since,
        )
        .order_by(ledger_entry.c.at, ledger_entry.c.id)
    ):
        found[row.account_id].append((row.at, row.amount_micro))
    return found


_APPEND = text(
    "INSERT INTO ledger_entry (account_id, amount_micro, kind, reference, server_id, at, traffic_bytes)"
    " SELECT account_id, amount, kind,"
    " 'server:' || server_id || ':' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),"
    " server_id, at, traffic_bytes"
    " FROM unnest(CAST(:account_id AS bigint[]), CAST(:server_id AS bigint[]), CAST(:at AS timestamptz[]),"
    " CAST(:kind AS text[]), CAST(:amount_micro AS bigint[]), CAST(:traffic_bytes AS bigint[]))"
    " AS told (account_id, server_id, at, kind, amount, traffic_bytes)"
    " ON CONFLICT DO NOTHING"
)
_USE_HOLD = text(
    "WITH told AS (SELECT 'server:' || server_id AS reference, sum(amount)::bigint AS amount"
    " FROM unnest(CAST(:server_id AS bigint[]), CAST(:kind AS text[]), CAST(:amount_micro AS bigint[]))"
    " AS each (server_id, kind, amount) WHERE kind = 'hour' GROUP BY server_id),"
    " used_up AS (DELETE FROM ledger_hold USING told"
    " WHERE ledger_hold.reference = told.reference AND amount_micro + told.amount <= 0)"
    " UPDATE ledger_hold SET amount_micro = amount_micro + told.amount FROM told"
    " WHERE ledger_hold.reference = told.reference AND amount_micro + told.amount > 0 AND told.amount <> 0"
)
_SETTLED = text(
    "UPDATE meter SET due_at = CASE WHEN told.at IS NULL THEN due_at"
    " WHEN ended_at <= told.at + interval '1 hour' THEN NULL ELSE told.at + interval '1 hour' END,"
    " traffic_at = told.traffic_at, received_bytes = coalesce(told.received, received_bytes),"
    " sent_bytes = coalesce(told.sent, sent_bytes), over_bytes = coalesce(told.over_bytes, meter.over_bytes),"
    " over_micro = coalesce(told.over_micro, meter.over_micro), month_at = told.month_at,"
    " month_micro = told.month_micro"
    " FROM unnest(CAST(:servers AS bigint[]), CAST(:at AS timestamptz[]), CAST(:traffic_at AS timestamptz[]),"
    " CAST(:received AS bigint[]), CAST(:sent AS bigint[]), CAST(:over_bytes AS bigint[]),"
    " CAST(:over_micro AS bigint[]), CAST(:month_at AS timestamptz[]), CAST(:month_micro AS bigint[]))"
    " AS told (server_id, at, traffic_at, received, sent, over_bytes, over_micro, month_at, month_micro)"
    " WHERE meter.server_id = told.server_id"
)


async def append(conn: Connection, entries: Sequence[Entry], settled: Sequence[Settled]) -> None:
    """Append charges, use up what was held for them, and note what is due next; again is a no-op.

    The caller has locked the accounts, and computed from what is due: no charge is there already.
    """
    if entries:
        columns = {name: _array(one[at] for one in entries) for at, name in enumerate(Entry._fields)}
        await conn.execute(_APPEND, columns)
        await conn.execute(_USE_HOLD, {name: columns[name] for name in ("server_id", "kind", "amount_micro")})
    traffic = [one.traffic for one in settled]
    await conn.execute(
        _SETTLED,
        {
            "servers": _array(one.server_id for one in settled),
            "at": _array(one.last_at for one in settled),
            "traffic_at": _array(one.traffic.at if one.traffic and not one.is_last else None for one in settled),
            "received": _array(one and one.received_bytes for one in traffic),
            "sent": _array(one and one.sent_bytes for one in traffic),
            "over_bytes": _array(one and one.over_bytes for one in traffic),
            "over_micro": _array(one and one.charged_micro for one in traffic),
            "month_at": _array(one.month.at for one in settled),
            "month_micro": _array(one.month.micro for one in settled),
        },
    )


# standing

_TOTAL = "coalesce((SELECT amount_micro FROM ledger_total WHERE account_id = account.id), 0)"
_METERED = "EXISTS (SELECT FROM meter WHERE meter.account_id = account.id AND due_at IS NOT NULL)"
# Each locks its accounts in the order of their ids, as charges and prices do, before it changes them.
_HELD = " ORDER BY account.id FOR NO KEY UPDATE OF account)"
_RESTORED = text(
    "WITH found AS (SELECT id, unpaid_at FROM account"
    f" WHERE (empty_at IS NOT NULL OR unpaid_at IS NOT NULL) AND {_TOTAL} > 0{_HELD}"
    " UPDATE account SET empty_at = NULL, unpaid_at = NULL, servers_end_at = NULL FROM found"
    " WHERE account.id = found.id RETURNING account.id, found.unpaid_at IS NOT NULL AS was_suspended"
)
_LOW = text(
    "WITH need AS (SELECT meter.account_id, sum(price_monthly_micro) * :hours / 672 AS amount_micro"
    " FROM meter JOIN rate_period USING (server_id) WHERE due_at IS NOT NULL AND ends_at IS NULL GROUP BY 1),"
    f" judged AS (SELECT account.id, {_TOTAL} < need.amount_micro AS low FROM account"
    f" JOIN need ON account_id = account.id WHERE (low_at IS NOT NULL) <> ({_TOTAL} < need.amount_micro){_HELD}"
    " UPDATE account SET low_at = CASE WHEN low THEN CAST(:at AS timestamptz) END FROM judged"
    " WHERE account.id = judged.id RETURNING account.id, low"
)
_EMPTY = text(
    f"WITH found AS (SELECT id FROM account WHERE empty_at IS NULL AND {_METERED} AND {_TOTAL} <= 0{_HELD}"
    " UPDATE account SET empty_at = :at FROM found WHERE account.id = found.id RETURNING account.id"
)
_OUT = text(
    "WITH found AS (SELECT id FROM account WHERE empty_at <= :since AND unpaid_at IS NULL"
    f" AND {_METERED} AND {_TOTAL} <= 0{_HELD}"
    " UPDATE account SET unpaid_at = :at FROM found WHERE account.id = found.id RETURNING account.id"
)
_SENTENCE = text(
    f"WITH found AS (SELECT id FROM account WHERE unpaid_at IS NOT NULL AND servers_end_at IS NULL{_HELD}"
    " UPDATE account SET servers_end_at = :end FROM found WHERE account.id = found.id RETURNING account.id"
)
_SPARE = text(
    f"WITH found AS (SELECT id FROM account WHERE servers_end_at IS NOT NULL{_HELD}"
    " UPDATE account SET servers_end_at = NULL FROM found WHERE account.id = found.id RETURNING account.id"
)


async def restored(conn: Connection) -> list[Record]:
    """Take note of accounts that have credit again; `was_suspended`: whether that unsuspends them."""
    return sorted(await conn.execute(_RESTORED), key=lambda row: row.id)


async def run_low(conn: Connection, hours: int, at: datetime) -> list[int]:
    """Take note of whose credit lasts for `hours` of their servers and whose doesn't; returns who is new to that."""
    return sorted(row.id for row in await conn.execute(_LOW, {"hours": hours, "at": at}) if row.low)


async def run_empty(conn: Connection, at: datetime) -> list[int]:
    """Take note of accounts with servers whose credit is used up; returns them."""
    return sorted((await conn.execute(_EMPTY, {"at": at})).scalars())


async def run_out(conn: Connection, since: datetime, at: datetime) -> list[int]:
    """Suspend accounts that have been without credit since `since`; returns them."""
    return sorted((await conn.execute(_OUT, {"since": since, "at": at})).scalars())


async def sentence(conn: Connection, end: datetime) -> list[int]:
    """Set when the servers of suspended accounts are deleted, where that isn't set; returns the accounts."""
    return sorted((await conn.execute(_SENTENCE, {"end": end})).scalars())


async def spare(conn: Connection) -> list[int]:
    """Have no account's servers deleted; returns those where they would have been."""
    return sorted((await conn.execute(_SPARE)).scalars())
