"""The SQL of charging."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, func, or_, select, text

from openvps.billing.hours import Charge, Metered, Period
from openvps.core.db import Connection, Record
from openvps.schema import account, ledger_entry, ledger_hold, ledger_total, meter, rate_period

CHARGE = "hour"  # the entries' kind
A_MONTH = timedelta(days=32)  # longer than any: earlier prices don't matter to a month's hours


async def lock_due(conn: Connection, at: datetime | None, *, limit: int) -> list[int]:
    """Lock some accounts that have hours to charge; those that others hold are left for the next turn."""
    moment = func.clock_timestamp() if at is None else at
    due = exists().where(meter.c.account_id == account.c.id, meter.c.due_at <= moment)
    rows = await conn.execute(
        select(account.c.id)
        .where(due)
        .order_by(account.c.id)
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True)
    )
    return list(rows.scalars())


async def moment(conn: Connection) -> datetime:
    """Return the moment by the clock that all processes share."""
    return (await conn.execute(select(func.clock_timestamp()))).scalar_one()


async def due(conn: Connection, accounts: Sequence[int], at: datetime) -> dict[int, list[Metered]]:
    """Return the servers with hours to charge, by account."""
    wanted = (meter.c.account_id.in_(accounts), meter.c.due_at <= at)
    periods: dict[int, list[Period]] = defaultdict(list)
    for row in await conn.execute(
        select(rate_period.c.server_id, rate_period.c.begins_at, rate_period.c.price_monthly_micro)
        .join(meter, meter.c.server_id == rate_period.c.server_id)
        .where(*wanted, or_(rate_period.c.ends_at.is_(None), rate_period.c.ends_at > meter.c.due_at - A_MONTH))
        .order_by(rate_period.c.server_id, rate_period.c.begins_at)
    ):
        periods[row.server_id].append(Period(row.begins_at, row.price_monthly_micro))
    found: dict[int, list[Metered]] = defaultdict(list)
    columns = (meter.c.account_id, meter.c.server_id, meter.c.started_at, meter.c.ended_at, meter.c.due_at)
    for row in await conn.execute(select(*columns).where(*wanted)):
        found[row.account_id].append(
            Metered(row.server_id, row.started_at, row.ended_at, row.due_at, periods[row.server_id])
        )
    return found


async def balances(conn: Connection, accounts: Sequence[int]) -> dict[int, int]:
    """Return the sums of the accounts' entries; an account without any is left out."""
    rows = await conn.execute(
        select(ledger_total.c.account_id, ledger_total.c.amount_micro).where(ledger_total.c.account_id.in_(accounts))
    )
    return {row[0]: int(row[1]) for row in rows}


async def credits_since(
    conn: Connection, accounts: Sequence[int], since: datetime
) -> dict[int, list[tuple[datetime, int]]]:
    """Return what was credited or adjusted after `since`, oldest first."""
    found: dict[int, list[tuple[datetime, int]]] = defaultdict(list)
    for row in await conn.execute(
        select(ledger_entry.c.account_id, ledger_entry.c.at, ledger_entry.c.amount_micro)
        .where(ledger_entry.c.account_id.in_(accounts), ledger_entry.c.kind != CHARGE, ledger_entry.c.at > since)
        .order_by(ledger_entry.c.at, ledger_entry.c.id)
    ):
        found[row.account_id].append((row.at, row.amount_micro))
    return found


_APPEND = text(
    "INSERT INTO ledger_entry (account_id, amount_micro, kind, reference, server_id, at)"
    " SELECT account_id, -amount, 'hour',"
    " 'server:' || server_id || ':' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),"
    " server_id, at"
    " FROM unnest(CAST(:accounts AS bigint[]), CAST(:servers AS bigint[]), CAST(:at AS timestamptz[]),"
    " CAST(:amounts AS bigint[])) AS told (account_id, server_id, at, amount)"
    " ON CONFLICT DO NOTHING"
)
_USE_HOLD = text(
    "UPDATE ledger_hold SET amount_micro = greatest(0, amount_micro - told.amount)"
    " FROM (SELECT 'server:' || server_id AS reference, sum(amount)::bigint AS amount"
    " FROM unnest(CAST(:servers AS bigint[]), CAST(:amounts AS bigint[])) AS each (server_id, amount)"
    " GROUP BY server_id) AS told WHERE ledger_hold.reference = told.reference"
)
_CHARGED = text(
    "UPDATE meter SET due_at = CASE WHEN ended_at <= told.at + interval '1 hour' THEN NULL"
    " ELSE told.at + interval '1 hour' END"
    " FROM (SELECT server_id, max(at) AS at"
    " FROM unnest(CAST(:servers AS bigint[]), CAST(:at AS timestamptz[])) AS each (server_id, at)"
    " GROUP BY server_id) AS told WHERE meter.server_id = told.server_id"
)


async def append(conn: Connection, charges: Sequence[tuple[int, Charge]]) -> None:
    """Append charges, use up what was held for them, and note what is due next; again is a no-op.

    The caller has locked the accounts, and computed from what is due: no charge is there already.
    """
    told = {
        "accounts": [account_id for account_id, _ in charges],
        "servers": [one.server_id for _, one in charges],
        "at": [one.at for _, one in charges],
        "amounts": [one.amount_micro for _, one in charges],
    }
    await conn.execute(_APPEND, told)
    await conn.execute(_USE_HOLD, {name: told[name] for name in ("servers", "amounts")})
    references = [f"server:{number}" for number in set(told["servers"])]
    await conn.execute(
        delete(ledger_hold).where(ledger_hold.c.reference.in_(references), ledger_hold.c.amount_micro == 0)
    )
    await conn.execute(_CHARGED, {name: told[name] for name in ("servers", "at")})


# standing

_TOTAL = "coalesce((SELECT amount_micro FROM ledger_total WHERE account_id = account.id), 0)"
_METERED = "EXISTS (SELECT FROM meter WHERE meter.account_id = account.id AND due_at IS NOT NULL)"
_RESTORED = text(
    "WITH found AS (SELECT id, unpaid_at FROM account"
    f" WHERE (empty_at IS NOT NULL OR unpaid_at IS NOT NULL) AND {_TOTAL} > 0 FOR UPDATE OF account)"
    " UPDATE account SET empty_at = NULL, unpaid_at = NULL, servers_end_at = NULL FROM found"
    " WHERE account.id = found.id RETURNING account.id, found.unpaid_at IS NOT NULL AS was_suspended"
)
_LOW = text(
    "WITH need AS (SELECT meter.account_id, sum(price_monthly_micro) * :hours / 672 AS amount_micro"
    " FROM meter JOIN rate_period USING (server_id) WHERE due_at IS NOT NULL AND ends_at IS NULL GROUP BY 1),"
    f" judged AS (SELECT account.id, {_TOTAL} < need.amount_micro AS low FROM account"
    " JOIN need ON account_id = account.id)"
    " UPDATE account SET low_at = CASE WHEN low THEN CAST(:at AS timestamptz) END FROM judged"
    " WHERE account.id = judged.id AND (low_at IS NOT NULL) <> low RETURNING account.id, low"
)
_EMPTY = text(
    f"UPDATE account SET empty_at = :at WHERE empty_at IS NULL AND {_METERED} AND {_TOTAL} <= 0 RETURNING id"
)
_OUT = text(
    "UPDATE account SET unpaid_at = :at WHERE empty_at <= :since AND unpaid_at IS NULL"
    f" AND {_METERED} AND {_TOTAL} <= 0 RETURNING id"
)
_SENTENCE = text(
    "UPDATE account SET servers_end_at = :end WHERE unpaid_at IS NOT NULL AND servers_end_at IS NULL RETURNING id"
)
_SPARE = text("UPDATE account SET servers_end_at = NULL WHERE servers_end_at IS NOT NULL RETURNING id")


async def restored(conn: Connection) -> list[Record]:
    """Take note of accounts that have credit again; `was_suspended`: whether that unsuspends them."""
    return list(await conn.execute(_RESTORED))


async def run_low(conn: Connection, hours: int, at: datetime) -> list[int]:
    """Take note of whose credit lasts for `hours` of their servers and whose doesn't; returns who is new to that."""
    return [row.id for row in await conn.execute(_LOW, {"hours": hours, "at": at}) if row.low]


async def run_empty(conn: Connection, at: datetime) -> list[int]:
    """Take note of accounts with servers whose credit is used up; returns them."""
    return list((await conn.execute(_EMPTY, {"at": at})).scalars())


async def run_out(conn: Connection, since: datetime, at: datetime) -> list[int]:
    """Suspend accounts that have been without credit since `since`; returns them."""
    return list((await conn.execute(_OUT, {"since": since, "at": at})).scalars())


async def sentence(conn: Connection, end: datetime) -> list[int]:
    """Set when the servers of suspended accounts are deleted, where that isn't set; returns the accounts."""
    return list((await conn.execute(_SENTENCE, {"end": end})).scalars())


async def spare(conn: Connection) -> list[int]:
    """Have no account's servers deleted; returns those where they would have been."""
    return list((await conn.execute(_SPARE)).scalars())
