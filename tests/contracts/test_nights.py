"""Daily backups: whose turn it is, what a missed night means, and which old ones go."""

from datetime import UTC, datetime, timedelta

import pytest

from factories import Client, World
from openvps.compute.backups.schedule import nightly

pytestmark = pytest.mark.anyio

NIGHT = datetime(2026, 12, 1, 6, tzinfo=UTC)  # everybody's moment is past
DAY = timedelta(days=1)


async def a_server(world: World, client: Client, *, wants: bool = True, status: str = "active") -> int:
    number = await world.a_server(client, backups_enabled=wants, status=status)
    await world.sql("UPDATE server SET ready_at = '2026-11-01' WHERE id = :id", id=number)
    return number


async def stored(world: World, status: str = "completed") -> None:
    await world.sql("UPDATE backup SET status = :status, look_at = NULL WHERE status = 'in_progress'", status=status)


async def night(world: World, at: datetime) -> int:
    return await nightly(world.database, days=31, at=at)


async def test_who_wants_it_is_backed_up_once_a_night(world: World) -> None:
    client = await world.a_client()
    server, _ = await a_server(world, client), await a_server(world, client, wants=False)
    await a_server(world, client, status="suspended")
    assert [await night(world, NIGHT), await night(world, NIGHT)] == [1, 0]
    await stored(world)
    assert await night(world, NIGHT + timedelta(hours=20)) == 0
    [shown] = (await client("GET", "/backups/?backup_type=automatic")).json()["results"]
    assert (shown["server"]["id"], shown["expires_at"]) == (server, "2027-01-01T06:00:00Z")
    assert await night(world, NIGHT + DAY) == 1


async def test_they_are_spread_over_three_hours_from_three(world: World) -> None:
    client = await world.a_client()
    for _ in range(4):
        await a_server(world, client)
    assert await night(world, NIGHT) == 4
    await stored(world)
    begun = [await night(world, NIGHT + DAY - timedelta(minutes=minutes)) for minutes in range(181, -1, -1)]
    assert begun[0] == 0
    assert sum(begun) == 4
    assert sum(one > 0 for one in begun) > 1


async def test_a_missed_night_is_caught_up_and_a_new_server_waits_for_its_first(world: World) -> None:
    client = await world.a_client()
    server = await a_server(world, client)
    assert await night(world, NIGHT + timedelta(hours=15)) == 1
    await stored(world)
    assert await night(world, NIGHT + DAY) == 1
    await world.sql("DELETE FROM backup")
    await world.sql("UPDATE server SET ready_at = :at WHERE id = :id", id=server, at=NIGHT)
    assert [await night(world, NIGHT), await night(world, NIGHT + DAY)] == [0, 1]


async def test_an_old_one_goes_only_after_a_newer_good_one(world: World) -> None:
    client = await world.a_client()
    await a_server(world, client)
    await night(world, NIGHT)
    await stored(world)
    await night(world, NIGHT + 31 * DAY)
    await stored(world, "failed")
    await night(world, NIGHT + 32 * DAY)
    assert await world.sql("SELECT 1 FROM backup WHERE wanted = 'absent'") == []
    await stored(world)
    await night(world, NIGHT + 33 * DAY)
    gone = await world.sql("SELECT created_at FROM backup WHERE wanted = 'absent'")
    assert [tuple(row) for row in gone] == [(NIGHT,)]


async def test_those_of_a_deleted_server_stay_for_their_term(world: World) -> None:
    client = await world.a_client()
    server = await a_server(world, client)
    await night(world, NIGHT)
    await stored(world)
    await client("DELETE", f"/servers/{server}/")
    await night(world, NIGHT + 30 * DAY)
    assert await world.sql("SELECT 1 FROM backup WHERE wanted = 'absent'") == []
    await night(world, NIGHT + 31 * DAY)
    assert len(await world.sql("SELECT 1 FROM backup WHERE wanted = 'absent'")) == 1
