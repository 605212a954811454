"""The SQL of an account's books: its entries, and a month's sums by server."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select, tuple_

from openvps.billing.hours import Metered, Period
from openvps.core.db import Connection, Record
from openvps.schema import account, ledger_entry, meter, rate_period

PAID = "credit"  # the one kind that is no charge and no correction of one
Span = tuple[datetime, datetime] | None  # from, and before; None: all the time
_NAMED = select(ledger_entry, meter.c.name).outerjoin(meter, meter.c.server_id == ledger_entry.c.server_id)
_MONTH = func.to_char(func.timezone("UTC", ledger_entry.c.at), "YYYY-MM")


async def entries(
    conn: Connection, account_id: int, span: Span, *, offset: int, limit: int
) -> tuple[int, list[Record]]:
    """Return how many entries an account has in a span, and some of them, newest first."""
    chosen = _chosen(account_id, span)
    count = (await conn.execute(select(func.count()).select_from(ledger_entry).where(*chosen))).scalar_one()
    rows = await conn.execute(_NAMED.where(*chosen).order_by(ledger_entry.c.id.desc()).offset(offset).limit(limit))
    return count, list(rows)


async def some_by_time(
    conn: Connection, account_id: int, span: Span, *, after: tuple[datetime, int] | None, limit: int
) -> list[Record]:
    """Return the entries of a span that follow (`at`, `id`), oldest first; None: from the first on."""
    chosen = _chosen(account_id, span)
    if after is not None:
        chosen.append(tuple_(ledger_entry.c.at, ledger_entry.c.id) > after)
    rows = await conn.execute(_NAMED.where(*chosen).order_by(ledger_entry.c.at, ledger_entry.c.id).limit(limit))
    return list(rows)


def _chosen(account_id: int, span: Span) -> list[ColumnElement[bool]]:
    chosen = [ledger_entry.c.account_id == account_id]
    if span is not None:
        chosen += [ledger_entry.c.at >= span[0], ledger_entry.c.at < span[1]]
    return chosen


async def months(conn: Connection, account_id: int) -> list[Record]:
    """Return the months (`YYYY-MM`, UTC) in which something was charged or adjusted, with their sums."""
    return list(
        await conn.execute(
            select(_MONTH.label("month"), (-func.sum(ledger_entry.c.amount_micro)).label("amount_micro"))
            .where(ledger_entry.c.account_id == account_id, ledger_entry.c.kind != PAID)
            .group_by(_MONTH)
            .order_by(_MONTH.desc())
        )
    )


async def lines(conn: Connection, account_id: int, begin: datetime, end: datetime) -> list[Record]:
    """Return what was charged from `begin` to `end`: a row a server, and one for each adjustment."""
    single = case((ledger_entry.c.server_id.is_(None), ledger_entry.c.id))
    return list(
        await conn.execute(
            select(
                ledger_entry.c.kind,
                ledger_entry.c.server_id,
                meter.c.name,
                func.max(ledger_entry.c.reason).label("reason"),
                func.count().label("hours"),
                (-func.sum(ledger_entry.c.amount_micro)).label("amount_micro"),
            )
            .outerjoin(meter, meter.c.server_id == ledger_entry.c.server_id)
            .where(
                ledger_entry.c.account_id == account_id,
                ledger_entry.c.kind != PAID,
                ledger_entry.c.at >= begin,
                ledger_entry.c.at < end,
            )
            .group_by(ledger_entry.c.kind, ledger_entry.c.server_id, meter.c.name, single)
            .order_by(ledger_entry.c.server_id, func.min(ledger_entry.c.id))
        )
    )


async def all_charged(conn: Connection, account_id: int, end: datetime) -> bool:
    """Whether the month that ends then is over and no hour of it is to be charged any more."""
    due = select(meter.c.server_id).where(meter.c.account_id == account_id, meter.c.due_at < end).exists()
    return (await conn.execute(select(and_(func.now() >= end, ~due)))).scalar_one()


async def owner(conn: Connection, account_id: int) -> Record:
    """Return whom an invoice is for."""
    columns: tuple[Any, ...] = (account.c.email, account.c.first_name, account.c.last_name, account.c.company_name)
    return (await conn.execute(select(*columns).where(account.c.id == account_id))).one()


@dataclass(frozen=True)
class Used:
    """A server that an account has or had, and what of a month is charged for it, in micro-units."""

    name: str
    charged_micro: int
    metered: Metered  # what is due isn't charged yet


async def used(conn: Connection, account_id: int, begin: datetime) -> list[Used]:
    """Return the servers that an account has or has had since a month began, and what is charged since then."""
    mine = (meter.c.account_id == account_id, or_(meter.c.ended_at.is_(None), meter.c.ended_at >= begin))
    periods: dict[int, list[Period]] = defaultdict(list)
    for row in await conn.execute(
        select(rate_period.c.server_id, rate_period.c.begins_at, rate_period.c.price_monthly_micro)
        .join(meter, meter.c.server_id == rate_period.c.server_id)
        .where(*mine)
        .order_by(rate_period.c.server_id, rate_period.c.begins_at)
    ):
        periods[row.server_id].append(Period(row.begins_at, row.price_monthly_micro))
    charged = (  # in one statement with what is due: a charge in between would be seen twice, or not at all
        select(ledger_entry.c.server_id, (-func.sum(ledger_entry.c.amount_micro)).label("amount_micro"))
        .where(
            ledger_entry.c.account_id == account_id,
            ledger_entry.c.server_id.is_not(None),
            ledger_entry.c.at >= begin,
        )
        .group_by(ledger_entry.c.server_id)
        .subquery()
    )
    rows = await conn.execute(
        select(meter, func.coalesce(charged.c.amount_micro, 0).label("charged_micro"))
        .outerjoin(charged, charged.c.server_id == meter.c.server_id)
        .where(*mine)
        .order_by(meter.c.server_id)
    )
    return [
        Used(
            row.name,
            int(row.charged_micro),
            Metered(row.server_id, row.started_at, row.ended_at, row.due_at or row.ended_at, periods[row.server_id]),
        )
        for row in rows
        if row.server_id in periods  # made since they were read: it is there the next time
    ]
