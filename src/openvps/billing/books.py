"""The SQL of an account's books: its entries, and a month's sums by server."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select, tuple_

from openvps.billing import queries
from openvps.billing.hours import Metered, month_of
from openvps.billing.queries import Due
from openvps.billing.traffic import Moved, Traffic, clock, present
from openvps.core.db import Connection, Record
from openvps.ledger.rates import HOUR
from openvps.schema import account, ledger_entry, ledger_month, meter

CHUNK = 500  # servers read at once: others have their turn in between
PAID = "credit"  # the one kind that is no charge and no correction of one
Span = tuple[datetime, datetime] | None  # from, and before; None: all the time
_NAMED = select(ledger_entry, meter.c.name).outerjoin(meter, meter.c.server_id == ledger_entry.c.server_id)


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
    columns = (ledger_month.c.month, (-ledger_month.c.amount_micro).label("amount_micro"))
    rows = select(*columns).where(ledger_month.c.account_id == account_id).order_by(ledger_month.c.month.desc())
    return list(await conn.execute(rows))


async def lines(conn: Connection, account_id: int, begin: datetime, end: datetime) -> list[Record]:
    """Return what was charged from `begin` to `end`: two rows a server at most, and one for each adjustment."""
    single = case((ledger_entry.c.server_id.is_(None), ledger_entry.c.id))
    return list(
        await conn.execute(
            select(
                ledger_entry.c.kind,
                ledger_entry.c.server_id,
                meter.c.name,
                func.max(ledger_entry.c.reason).label("reason"),
                func.count().label("hours"),
                func.sum(ledger_entry.c.traffic_bytes).label("traffic_bytes"),
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
    """Whether the month that ends then is over and nothing of it is to be charged any more."""
    open_ = or_(meter.c.due_at < end, meter.c.traffic_at < end)
    due = select(meter.c.server_id).where(meter.c.account_id == account_id, open_).exists()
    return (await conn.execute(select(and_(func.now() >= end, ~due)))).scalar_one()


async def owner(conn: Connection, account_id: int) -> Record:
    """Return whom an invoice is for."""
    columns: tuple[Any, ...] = (account.c.email, account.c.first_name, account.c.last_name, account.c.company_name)
    return (await conn.execute(select(*columns).where(account.c.id == account_id))).one()


@dataclass(frozen=True)
class Used:
    """A server that an account has or has had in a month, and what of it is charged."""

    name: str
    charged_micro: int
    server: Metered  # what is due isn't charged yet
    charged: Traffic
    traffic: Traffic


async def used(conn: Connection, account_id: int, at: datetime) -> AsyncGenerator[list[Used]]:
    """Yield the servers that an account has or has had in the month of `at`, some at a time, and their use of it.

    What is charged and what is due stand in one row: a charge in between is neither seen twice nor missed.
    """
    begin, last = month_of(at)[0], 0
    its = (meter.c.account_id == account_id, or_(meter.c.ended_at.is_(None), meter.c.ended_at >= begin))
    while True:
        chosen = select(meter).where(*its, meter.c.server_id > last).order_by(meter.c.server_id).limit(CHUNK)
        rows = (await conn.execute(chosen)).all()
        if not rows:
            return
        last = rows[-1].server_id
        periods = await queries.periods(conn, [row.server_id for row in rows], since=begin - queries.A_MONTH)
        found = [(row, queries.due_of(row, periods[row.server_id])) for row in rows]
        moved = await queries.moved(conn, [one for _, one in found], clock(at) + HOUR)
        yield [_used(row, one, moved.get(row.server_id, {}), at) for row, one in found]


def _used(row: Record, due: Due, moved: Moved, at: datetime) -> Used:
    known = queries.traffic_of(row).moved_to(max(row.traffic_at or at, month_of(at)[0]))
    traffic = known if due.traffic is None else present(due.server, due.traffic, moved, at)
    charged_micro = due.month.micro if due.month.at == month_of(at)[0] else 0
    return Used(row.name, charged_micro, due.server, known, traffic)
