"""Partitions of the history of use: there before they are needed, gone when they are old, whatever the clock does."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import text

from openvps.compute.usage import partitions
from openvps.core.db import Database

pytestmark = pytest.mark.anyio

NOON = datetime(2028, 2, 29, 12, 30, tzinfo=UTC)


async def make(database: Database, at: datetime) -> None:
    async with database.begin() as conn:
        await partitions.make(conn, at)


async def names(database: Database, table: str) -> list[str]:
    async with database.begin() as conn:
        rows = await conn.execute(
            text(
                "SELECT relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = :t ::regclass"
            ),
            {"t": table},
        )
        return sorted(name.removeprefix(f"{table}_p") for name in rows.scalars())


async def test_the_present_partitions_and_the_next_are_made_once(database: Database) -> None:
    for _ in range(2):
        await make(database, NOON)
    assert await names(database, "usage_minute") == ["2028022912", "2028022918"]
    assert await names(database, "usage_5min") == ["2028022900", "2028030100"]
    assert await names(database, "usage_hour") == ["2028020100", "2028030100"]


async def test_workers_that_make_them_at_once_do_not_disturb_each_other(database: Database) -> None:
    await asyncio.gather(*(make(database, NOON) for _ in range(8)))
    assert len(await names(database, "usage_minute")) == 2


async def test_only_what_is_older_than_is_kept_is_dropped(database: Database) -> None:
    for hours in range(0, 30 * 24, 6):
        await make(database, NOON + timedelta(hours=hours))
    end = NOON + timedelta(days=30)
    await make(database, end)
    assert await partitions.drop_old(database, end) > 0
    oldest = {table: (await names(database, table))[0] for table in ("usage_minute", "usage_5min", "usage_hour")}
    assert oldest == {"usage_minute": "2028032912", "usage_5min": "2028032300", "usage_hour": "2028020100"}
    assert await partitions.drop_old(database, end) == 0


async def test_a_clock_that_jumps_ahead_costs_no_history(database: Database) -> None:
    for hours in range(0, 10 * 24, 6):
        await make(database, NOON + timedelta(hours=hours))
    at = NOON + timedelta(days=10)
    await partitions.drop_old(database, at)
    before = await names(database, "usage_5min")
    await make(database, at + timedelta(days=3650))
    await partitions.drop_old(database, at + timedelta(days=3650))
    after = await names(database, "usage_5min")
    assert set(before[2:]) <= set(after)  # the two that were made took the place of the two oldest
    assert len(after) == len(before)


async def test_nothing_else_can_be_dropped_by_the_function(database_url: str) -> None:
    with psycopg.connect(database_url) as conn, pytest.raises(psycopg.errors.RaiseException):
        conn.execute("SELECT openvps_drop_partition('account', now())")
