"""The SQL of charging."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, func, or_, select, text

from openvps.billing.hours import Charge, Metered, Period
from openvps.core.db import Connection
from openvps.schema import account, ledger_entry, ledger_hold, meter, rate_period

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
    total = func.sum(ledger_entry.c.amount_micro)
    rows = await conn.execute(
        select(ledger_entry.c.account_id, total)
        .where(ledger_entry.c.account_id.in_(accounts))
        .group_by(ledger_entry.c.account_id)
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
