"""What a deleted server gives back, it gives back once."""

import anyio
import pytest

from factories import World
from openvps.compute.addresses import queries as addresses
from openvps.compute.servers import rows
from openvps.core.clock import now

pytestmark = pytest.mark.anyio

WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def test_of_two_workers_that_remove_a_server_the_second_finds_it_gone(world: World) -> None:
    number = await world.a_server(await world.a_client(), status="deleting")
    found: list[bool] = []

    async def second() -> None:
        async with world.database.begin() as conn:
            found.append(await rows.hold(conn, number))

    async with anyio.create_task_group() as tasks, world.database.begin() as conn:
        assert await rows.hold(conn, number)
        tasks.start_soon(second)
        while not await world.sql(WAITING):  # noqa: ASYNC110 -- a lock that is waited for tells nobody
            await anyio.sleep(0.01)
        await addresses.free(conn, number, rests_until=now())
        await rows.remove(conn, number)
    assert found == [False]
