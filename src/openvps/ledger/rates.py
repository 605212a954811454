"""What runs up charges: since when, at which rate a month, until when. A server is only a number here.

Written in the transactions that create, resize and delete a server, turned into charges by billing, kept for the
books. Each writer locks the account first and asks for the moment then: a charge, which does the same, has seen all
that came before its own moment, and nothing changes behind it.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from openvps.core.db import Connection
from openvps.schema import account, meter, rate_period

HOUR = timedelta(hours=1)
LEAST = timedelta(microseconds=1)  # a server that was there was there for a moment, and pays its first hour


@dataclass(frozen=True)
class Rate:
    """What a month costs, and the traffic that is included."""

    price_monthly_micro: int
    bandwidth_gb: int


async def lock(conn: Connection, account_id: int) -> datetime:
    """Lock what an account runs up; returns the moment, by the one clock that all processes share.

    The clock is read for a row that comes out of the lock: PostgreSQL never folds a locking WITH into its query.
    """
    mine = select(account.c.id).where(account.c.id == account_id).with_for_update(key_share=True).cte("mine")
    return (await conn.execute(select(func.clock_timestamp()).select_from(mine))).scalar_one()


def next_hour(started_at: datetime, at: datetime) -> datetime:
    """Return the begin of the first of a server's own hours after `at`."""
    return started_at + ((at - started_at) // HOUR + 1) * HOUR


async def start(conn: Connection, *, account_id: int, server_id: int, name: str, rate: Rate, at: datetime) -> None:
    """Have a server charged from `at` on."""
    traffic_at = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    metered = insert(meter).values(
        server_id=server_id, account_id=account_id, name=name, started_at=at, due_at=at, traffic_at=traffic_at
    )
    rated = insert(rate_period).values(server_id=server_id, begins_at=at, **asdict(rate))
    await conn.execute(rated.add_cte(metered.cte("metered")))


async def change(conn: Connection, server_id: int, rate: Rate, at: datetime) -> None:
    """Have a server charged at another rate from its next hour on; the hour that has begun keeps its own."""
    running = select(meter.c.started_at).where(meter.c.server_id == server_id, meter.c.ended_at.is_(None))
    started_at = (await conn.execute(running)).scalar_one_or_none()
    if started_at is None:
        return
    begins_at = next_hour(started_at, at)
    await conn.execute(
        update(rate_period)
        .where(
            rate_period.c.server_id == server_id,
            rate_period.c.ends_at.is_(None),
            rate_period.c.begins_at < begins_at,
        )
        .values(ends_at=begins_at)
    )
    put = pg_insert(rate_period).values(server_id=server_id, begins_at=begins_at, **asdict(rate))
    await conn.execute(put.on_conflict_do_update(index_elements=["server_id", "begins_at"], set_=asdict(rate)))


async def end(conn: Connection, server_id: int, at: datetime) -> None:
    """Have no hour charged that begins at `at` or later; ended already is success."""
    ended = (
        await conn.execute(
            update(meter)
            .where(meter.c.server_id == server_id, meter.c.ended_at.is_(None))
            .values(ended_at=func.greatest(at, meter.c.started_at + LEAST))
            .returning(meter.c.ended_at)
        )
    ).scalar_one_or_none()
    if ended is None:
        return
    await conn.execute(
        update(meter).where(meter.c.server_id == server_id, meter.c.due_at >= ended).values(due_at=None)
    )
    await conn.execute(
        delete(rate_period).where(rate_period.c.server_id == server_id, rate_period.c.begins_at >= ended)
    )
    await conn.execute(
        update(rate_period)
        .where(
            rate_period.c.server_id == server_id,
            func.coalesce(rate_period.c.ends_at, ended + HOUR) > ended,
        )
        .values(ends_at=ended)
    )


async def resume(conn: Connection, server_id: int, rate: Rate, at: datetime) -> None:
    """Have a server whose charges ended be charged again, from the hour of its own on in which `at` is.

    The hours between cost nothing. An hour that was charged isn't charged twice.
    """
    known = await conn.execute(
        select(meter.c.started_at, meter.c.ended_at)
        .where(meter.c.server_id == server_id, meter.c.ended_at.is_not(None))
        .with_for_update(key_share=True)
    )
    row = known.one_or_none()
    if row is None:
        return
    charged_until = next_hour(row.started_at, row.ended_at - LEAST)
    begins_at = max(charged_until, next_hour(row.started_at, at) - HOUR)
    await conn.execute(
        update(rate_period)
        .where(rate_period.c.server_id == server_id, rate_period.c.ends_at == row.ended_at)
        .values(ends_at=charged_until)
    )
    free = asdict(Rate(0, rate.bandwidth_gb))
    periods = [(charged_until, begins_at, free)] if begins_at > charged_until else []
    for begin, end_at, its in [*periods, (begins_at, None, asdict(rate))]:
        await conn.execute(insert(rate_period).values(server_id=server_id, begins_at=begin, ends_at=end_at, **its))
    await conn.execute(
        update(meter)
        .where(meter.c.server_id == server_id)
        .values(ended_at=None, due_at=func.coalesce(meter.c.due_at, begins_at))
    )
