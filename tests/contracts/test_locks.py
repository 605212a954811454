"""Who locks a row to change it keeps nobody waiting who only refers to it: two such waits across would be a deadlock.

A look at a cell locks the cell, then adds its servers' first samples, which refer to their servers. A resize locks a
server, then takes room of the cell.
"""

import anyio
import pytest

from factories import World
from openvps.accounts.queries import lock_account
from openvps.compute.locations import queries as locations
from openvps.compute.servers import queries, sample
from openvps.core.clock import now
from openvps.core.db import Connection
from openvps.ledger import queries as ledger
from openvps.schema import usage

pytestmark = pytest.mark.anyio

SOON_S = 5  # PostgreSQL looks for deadlocks after one
SMALL = locations.Size(vcpus=0, memory_mib=0, storage_gb=0)


async def _sample(conn: Connection, server_id: int) -> None:
    zeros = {column.name: 0 for column in usage.c}
    await sample.keep(conn, [zeros | {"server_id": server_id, "sampled_at": now(), "month": f"{now():%Y-%m}"}])


async def test_a_resize_and_the_look_at_its_cell_wait_for_each_other_in_one_direction_only(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    [[account_id, cell_id]] = await world.sql(f"SELECT account_id, cell_id FROM server WHERE id = {number}")
    looked = anyio.Event()

    async def look() -> None:
        async with world.database.begin() as conn:
            await locations.seen(conn, cell_id)
            looked.set()
            await _sample(conn, number)

    with anyio.fail_after(SOON_S):
        async with world.database.begin() as conn, anyio.create_task_group() as tasks:
            assert await queries.promised(conn, account_id, number)
            tasks.start_soon(look)
            await looked.wait()
            assert await locations.reserve(conn, cell_id, SMALL, seen_since=now() - locations.SEEN_WITHIN)


async def test_what_refers_to_an_account_waits_for_no_request_that_holds_it(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    [[account_id]] = await world.sql(f"SELECT account_id FROM server WHERE id = {number}")
    with anyio.fail_after(SOON_S):
        async with world.database.begin() as held:
            await lock_account(held, account_id)
            async with world.database.begin() as conn:
                await ledger.hold(conn, account_id=account_id, amount_micro=1, reference="test")
