"""Servers made, resized and deleted over the API run up charges; what a create held becomes the first of them."""

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from factories import World
from openvps.actions import queries as actions
from openvps.billing.charge import Terms, charge
from openvps.compute.servers import promise
from openvps.compute.servers.suspension import enforce
from openvps.core.money import first_hours
from openvps.ledger import queries as ledger
from openvps.ledger import rates

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


async def charged(world: World, at: datetime) -> list[int]:
    await charge(world.database, Terms(10**9), at=at)
    rows = await world.sql("SELECT -amount_micro FROM ledger_entry WHERE kind = 'hour' ORDER BY at")
    return [row[0] for row in rows]


async def begun(world: World) -> datetime:
    return (await world.sql("SELECT started_at FROM meter"))[0][0]


async def test_the_first_hours_come_out_of_what_the_create_held(world: World) -> None:
    client = await world.a_client()
    await world.a_server(client)
    [(price,)] = await world.sql("SELECT price_monthly_micro FROM server")
    start = await begun(world)
    async with world.database.begin() as conn:
        before = await ledger.balance(conn, client.account_id)
    assert await charged(world, start + 23 * HOUR) == await charged(world, start + 23 * HOUR)
    async with world.database.begin() as conn:
        after = await ledger.balance(conn, client.account_id)
    month_ends = (start + 23 * HOUR).month != start.month  # then both months round
    assert before.total_micro - after.total_micro == pytest.approx(first_hours(price, 24), abs=int(month_ends))
    assert after.free_micro == pytest.approx(before.free_micro, abs=int(month_ends))
    await charged(world, start + 24 * HOUR)
    assert await world.sql("SELECT 1 FROM ledger_hold WHERE amount_micro > 1") == []


async def test_a_resize_changes_the_price_from_the_next_hour_after_it_is_done_on(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    answer = await client("POST", f"/servers/{number}/resize/", {"plan": 1})
    assert answer.status_code == 200, answer.text
    start = await begun(world)
    asked = await charged(world, start + 2 * HOUR)
    async with world.database.begin() as conn:
        await promise.charge(conn, number, start + 2.5 * HOUR)
    rows = await world.sql("SELECT begins_at, ends_at, price_monthly_micro FROM rate_period ORDER BY begins_at")
    assert [(row[0] - start, row[1] and row[1] - start) for row in rows] == [(0 * HOUR, 3 * HOUR), (3 * HOUR, None)]
    old, new = rows[0][2], rows[1][2]
    assert await charged(world, start + 3 * HOUR) == [*asked, pytest.approx(new // 672, abs=1)]
    assert asked == [pytest.approx(old // 672, abs=1)] * 3
    assert old < new


@pytest.mark.parametrize("before", [0, 10, 40])  # hours: the hold of 24 is whole, used in part, used up
async def test_a_resize_that_failed_costs_nothing(world: World, before: int) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    start = await begun(world)
    if before:
        await charged(world, start + before * HOUR - rates.LEAST)
    old = await world.sql("SELECT price_monthly_micro FROM server")
    holds = "SELECT amount_micro FROM ledger_hold"
    [held] = [row[0] for row in await world.sql(holds)] or [0]
    assert (await client("POST", f"/servers/{number}/resize/", {"plan": 1})).status_code == 200
    meanwhile = (await charged(world, start + before * HOUR))[before:]
    async with world.database.begin() as conn:
        await rates.lock(conn, client.account_id)
        await promise.put_back(conn, number, await actions.unfinished(conn, number), world.config.hold_hours)
    assert await world.sql("SELECT price_monthly_micro FROM server") == old
    assert await world.sql("SELECT price_monthly_micro, ends_at FROM rate_period") == [(old[0][0], None)]
    left = held - meanwhile[0]
    assert await world.sql(holds) == ([(left,)] if left > 0 else [])
    after = await charged(world, start + (before + 5) * HOUR)
    assert set(after) <= {old[0][0] // 672, old[0][0] // 672 + 1}


async def test_a_deleted_server_pays_the_hour_it_began_and_no_other(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    assert (await client("DELETE", f"/servers/{number}/")).status_code == 204
    await world.sql("UPDATE server SET look_at = NULL")
    await world.sql("DELETE FROM address WHERE server_id = :id", id=number)
    await world.sql("DELETE FROM server WHERE id = :id", id=number)
    assert len(await charged(world, await begun(world) + 50 * HOUR)) == 1
    assert await world.sql("SELECT due_at FROM meter") == [(None,)]


async def test_stopped_and_suspended_servers_cost_as_much_as_running_ones(world: World) -> None:
    client, other = await world.a_client(), await world.a_client()
    await world.a_server(client)
    stopped = await world.a_server(client)
    assert (await client("POST", f"/servers/{stopped}/stop/")).status_code == 200
    await world.a_server(other)
    await world.sql("UPDATE account SET suspended_at = now() WHERE id = :id", id=other.account_id)
    assert await enforce(world.database) == 1
    await charged(world, await begun(world) + 20 * 24 * HOUR)
    rows = await world.sql(
        "SELECT count(*) >= 480, max(amount_micro) < 0 FROM ledger_entry WHERE kind = 'hour' GROUP BY server_id"
    )
    assert [tuple(row) for row in rows] == [(True, True)] * 3


async def test_the_moment_of_a_change_is_read_behind_the_lock(world: World) -> None:
    client = await world.a_client()

    async def second() -> datetime:
        async with world.database.begin() as conn:
            return await rates.lock(conn, client.account_id)

    async with world.database.begin() as conn:
        await rates.lock(conn, client.account_id)
        waiting = asyncio.create_task(second())
        while not (  # noqa: ASYNC110 -- what is waited for is another connection's lock
            await conn.execute(text("SELECT 1 FROM pg_locks WHERE NOT granted"))
        ).all():
            await asyncio.sleep(0)
        last = (await conn.execute(text("SELECT clock_timestamp()"))).scalar_one()
    assert await waiting > last


async def test_several_workers_that_charge_at_once_enter_each_hour_once(world: World) -> None:
    clients = [await world.a_client() for _ in range(4)]
    for client in clients:
        for _ in range(2):
            await world.a_server(client)
    starts = [row[0] for row in await world.sql("SELECT started_at FROM meter")]
    held = (await world.sql("SELECT sum(amount_micro) FROM ledger_hold"))[0][0]
    until = min(starts) + 10 * HOUR
    counts = await asyncio.gather(*(charge(world.database, Terms(10**9), at=until) for _ in range(4)))
    expected = sum((until - start) // HOUR + 1 for start in starts)
    assert sum(counts) == expected
    [(rows, charged)] = await world.sql("SELECT count(*), -sum(amount_micro) FROM ledger_entry WHERE kind = 'hour'")
    assert rows == expected
    assert (await world.sql("SELECT sum(amount_micro) FROM ledger_hold"))[0][0] == held - charged
