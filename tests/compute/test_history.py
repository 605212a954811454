"""The history of use: what is sampled is added up in every resolution, once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from sqlalchemy import select

from openvps.compute.servers import sample
from openvps.compute.usage import history
from openvps.compute.usage.resolutions import RESOLUTIONS
from openvps.core.db import Database, Record
from openvps.engine.protocol import Machine, Usage

pytestmark = pytest.mark.anyio

NOON = datetime(2028, 2, 29, 12, 0, tzinfo=UTC)
ONE = history.Sample(
    server_id=7,
    seconds=30.0,
    vcpu_seconds=60.0,
    cpu_seconds=15.0,
    memory_used_bytes=100,
    disk_used_bytes=1000,
    received_bytes=5_000_000_000,
    sent_bytes=20,
)


async def add(database: Database, at: datetime, *samples: history.Sample) -> None:
    async with database.begin() as conn:
        await history.add(conn, at, samples)


async def kept(database: Database, of: int) -> list[Any]:
    table = RESOLUTIONS[of].table
    async with database.begin() as conn:
        return list(await conn.execute(select(table).order_by(*table.primary_key.columns)))


async def test_samples_add_up_in_every_resolution(database: Database) -> None:
    for seconds in range(0, 3600, 30):
        await add(database, NOON + timedelta(seconds=seconds), ONE, replace(ONE, server_id=8))
    for of, rows, samples in ((0, 60, 2), (1, 12, 10), (2, 1, 120)):
        mine = [row for row in await kept(database, of) if row.server_id == 7]
        assert [row.samples for row in mine] == [samples] * rows
        assert sum(row.received_bytes for row in mine) == 120 * 5_000_000_000
        assert sum(row.cpu_seconds for row in mine) == 120 * 15


async def test_memory_and_disk_are_means(database: Database) -> None:
    for used in (100, 200, 600):
        await add(database, NOON, replace(ONE, memory_used_bytes=used, disk_used_bytes=used * 10))
    (row,) = await kept(database, 2)
    assert (row.memory_used_bytes, row.disk_used_bytes) == (300, 3000)


async def test_a_worker_killed_before_its_commit_leaves_no_sample(database: Database) -> None:
    await add(database, NOON, ONE)

    async def killed() -> None:
        async with database.begin() as conn:
            await history.add(conn, NOON, [ONE])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await killed()
    for of in range(3):
        (row,) = await kept(database, of)
        assert row.samples == 1


async def test_no_samples_are_no_rows(database: Database) -> None:
    await add(database, NOON)
    assert await kept(database, 0) == []


def a_machine(status: Literal["running", "stopped"], disk_used_bytes: int | None = None) -> Machine:
    sizes: dict[str, Any] = {"vcpus": 2, "memory_mib": 512, "storage_gb": 10}
    return Machine("s7", status, **sizes, hostname="web-1", marks={}, disk_used_bytes=disk_used_bytes)


def counted(cpu_s: float, received: int, sent: int) -> Usage:
    return Usage(cpu_seconds=cpu_s, memory_used_bytes=64, received_bytes=received, sent_bytes=sent)


@pytest.fixture
async def before(database: Database) -> Record:
    """Return the counters of a server with two vCPUs, read at noon."""
    values = "30.0 cpu_seconds, 1000 received_bytes, 2000 sent_bytes, 10 month_received_bytes, 20 month_sent_bytes"
    async with database.begin() as conn:
        row = await conn.exec_driver_sql(
            f"SELECT 2 vcpus, {values}, timestamptz '2028-02-29 12:00Z' sampled_at, '2028-02' AS month,"
            " 5 disk_used_bytes"
        )
        return row.one()


async def test_a_counter_that_fell_counts_from_zero(before: Record) -> None:
    machine = a_machine("running", 6)
    latest, one = sample.take(7, before, machine, counted(1.0, 300, 2500), NOON + timedelta(seconds=30))
    assert (one.cpu_seconds, one.received_bytes, one.sent_bytes) == (1.0, 300, 500)
    assert (latest["month_received_bytes"], latest["month_sent_bytes"]) == (310, 520)
    assert one.vcpu_seconds == 60


async def test_a_counter_that_stands_still_counts_nothing(before: Record) -> None:
    latest, one = sample.take(
        7, before, a_machine("running"), counted(30.0, 1000, 2000), NOON + timedelta(seconds=30)
    )
    assert (one.cpu_seconds, one.received_bytes, one.sent_bytes) == (0, 0, 0)
    assert (latest["month_received_bytes"], latest["month_sent_bytes"]) == (10, 20)


async def test_a_new_month_begins_its_totals_at_zero(before: Record) -> None:
    machine = a_machine("running")
    latest, one = sample.take(7, before, machine, counted(31.0, 1100, 2100), NOON + timedelta(days=1))
    assert (latest["month"], latest["month_received_bytes"], latest["month_sent_bytes"]) == ("2028-03", 100, 100)
    assert one.disk_used_bytes == 5


async def test_a_server_that_is_off_uses_nothing_and_keeps_its_disk(before: Record) -> None:
    machine = a_machine("stopped")
    latest, one = sample.take(7, before, machine, None, NOON + timedelta(seconds=30))
    assert (one.cpu_seconds, one.received_bytes, one.memory_used_bytes, one.disk_used_bytes) == (0, 0, 0, 5)
    assert latest["cpu_percent"] == 0


async def test_a_reading_that_began_before_the_last_one_ended_is_late() -> None:
    later = NOON + timedelta(seconds=5)
    assert sample.late(later, NOON, later)
    assert not sample.late(NOON, later, later)
    assert not sample.late(None, NOON, later)
    assert not sample.late(NOON + timedelta(days=365), NOON, later), "the clock was set back"
