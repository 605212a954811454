"""Two real transactions meet in the middle: nobody locks against the order of docs/architecture.md.

Each case holds open what the worker does in one transaction, has somebody else come by, and then does the rest of it.
Who locks in another order than the first would be ended by PostgreSQL: "deadlock detected".
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from factories import World
from openvps.actions import queries as actions
from openvps.billing.standing import set_standing
from openvps.compute.backups import queries as backups
from openvps.compute.locations import queries as locations
from openvps.compute.locations.queries import Size
from openvps.compute.servers import queue, rows, watch
from openvps.compute.servers.context import Context
from openvps.compute.servers.names import machine_name
from openvps.compute.snapshots import queries as snapshots
from openvps.core.clock import now
from openvps.core.db import Connection
from openvps.engine.protocol import MachineSpec
from openvps.ledger import rates
from simulated import Simulated

pytestmark = pytest.mark.anyio

PATIENCE_S = 20.0  # for what takes ms
NOTHING = Size(0, 0, 0)


async def waits(world: World, other: asyncio.Task[Any]) -> None:
    """Return when somebody waits for a lock."""
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " AND cardinality(pg_blocking_pids(pid)) > 0"
    )
    async with asyncio.timeout(PATIENCE_S):
        while not await world.sql(waiting):
            assert not other.done(), f"it didn't wait: {other.result()}"
            await asyncio.sleep(0.01)


async def finished(conn: Connection, subject: int, what: str) -> None:
    running = await actions.unfinished(conn, subject, what)
    assert running
    await actions.finish(conn, [one.id for one in running], "completed")


async def test_a_copy_is_deleted_in_the_moment_in_which_it_is_done(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    kept = await world.a_snapshot(client, server, status="in_progress")
    stored = await world.a_backup(client, server, status="in_progress")
    async with world.database.begin() as conn:
        seen = await snapshots.row(conn, kept)
        assert seen is not None
        assert await snapshots.settle(conn, seen, status="completed")
        deleting = asyncio.create_task(client("DELETE", f"/snapshots/{kept}/"))
        await waits(world, deleting)
        await finished(conn, kept, "snapshot")
    assert (await deleting).status_code == 204
    async with world.database.begin() as conn:
        row = await backups.row(conn, stored)
        assert row is not None
        assert await backups.settle(conn, row, status="completed")
        deleting = asyncio.create_task(client("DELETE", f"/backups/{stored}/"))
        await waits(world, deleting)
        await finished(conn, stored, "backup")
    assert (await deleting).status_code == 204
    ended = await world.sql("SELECT status FROM action WHERE kind LIKE '%.create' ORDER BY id")
    assert [one.status for one in ended] == ["completed"] * 3


async def test_a_server_goes_in_the_moment_in_which_its_snapshot_is_done(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    kept = await world.a_snapshot(client, server, status="in_progress")
    await world.sql("UPDATE address SET server_id = NULL")

    async def gone() -> None:
        async with world.database.begin() as conn:
            assert await rows.hold(conn, server)
            await rows.remove(conn, server)

    async with world.database.begin() as conn:
        seen = await snapshots.row(conn, kept)
        assert seen is not None
        assert await snapshots.settle(conn, seen, status="completed")
        going = asyncio.create_task(gone())
        await waits(world, going)
        await finished(conn, kept, "snapshot")
    await going
    assert await world.sql("SELECT 1 FROM server UNION ALL SELECT 1 FROM snapshot") == []


async def test_an_operator_ends_an_action_in_the_moment_in_which_it_is_done(world: World) -> None:
    client = await world.a_client()
    operator = await world.a_client(operator=True, permissions=("operations:*",))
    server = await world.a_server(client)
    await client("POST", f"/servers/{server}/stop/")
    [(action,)] = await world.sql("SELECT id FROM action WHERE finished_at IS NULL")
    async with world.database.begin() as conn:
        row = await rows.row(conn, server)
        assert row is not None
        assert await rows.settle(conn, row, status="stopped", at=now())
        ending = asyncio.create_task(operator("POST", f"/admin/actions/{action}/cancel/", {}))
        await waits(world, ending)
        await finished(conn, server, "server")
    answer = await ending
    assert (answer.status_code, answer.json()["detail"]) == (400, "It has ended.")


@asynccontextmanager
async def a_machine(server: int) -> AsyncGenerator[Simulated]:
    """Lend a SIMULATED engine that has a server's machine, which is off."""
    engine = Simulated()
    image = await engine.add_image(Path("simulated"))
    spec = MachineSpec(machine_name(server), image, 1, 128, 1, "web-1", addresses=(), nic="")
    await engine.create(spec, start=False)
    yield engine
    await engine.close()


async def test_a_server_goes_while_its_cell_is_looked_at(world: World) -> None:
    """Its first sample would be the first row that names it."""
    client = await world.a_client()
    server = await world.a_server(client, status="stopped")
    await world.sql("UPDATE address SET server_id = NULL")
    async with a_machine(server) as engine:
        context = Context(world.database, world.config, {world.cell_id: engine})
        async with world.database.begin() as conn:
            assert await rows.hold(conn, server)
            looking = asyncio.create_task(watch.look_at_cell(context, world.cell_id))
            await waits(world, looking)
            await locations.give_back(conn, world.cell_id, NOTHING)
            await rows.remove(conn, server)
        await looking
        assert await world.sql("SELECT 1 FROM usage") == []
        other = await world.a_server(client, status="stopped")
    async with a_machine(other) as engine:
        await watch.look_at_cell(Context(world.database, world.config, {world.cell_id: engine}), world.cell_id)
    assert await world.sql("SELECT server_id FROM usage") == [(other,)]


async def test_one_that_is_in_hand_is_passed_over_when_the_next_are_made(world: World) -> None:
    client = await world.a_client()
    await world.sql("UPDATE cell SET creates_at_once = 1")
    made, held, next_ = [await world.a_server(client, status="provisioning") for _ in range(3)]
    await world.sql("UPDATE cell SET creates_at_once = 3")
    admitted = "SELECT id FROM server WHERE admitted_at IS NOT NULL ORDER BY id"
    assert await world.sql(admitted) == [(made,)]
    async with world.database.begin() as conn:
        assert await rows.hold(conn, held)
        await queue.go_on(world.database, 1)
        assert await world.sql(admitted) == [(made,), (next_,)]
        await locations.give_back(conn, world.cell_id, NOTHING)
    await queue.go_on(world.database, 1)
    assert await world.sql(admitted) == [(made,), (held,), (next_,)]


async def test_accounts_are_locked_in_one_order_by_prices_and_by_standing(world: World) -> None:
    clients = [await world.a_client() for _ in range(2)]
    for client in clients:
        await world.a_server(client)
    one, two = (client.account_id for client in clients)
    await world.sql("UPDATE ledger_total SET amount_micro = 1")
    await world.sql("UPDATE account SET first_name = 'moved' WHERE id = :id", id=one)  # behind the other, on disk
    async with world.database.begin() as conn:
        await rates.lock(conn, one)
        setting = asyncio.create_task(set_standing(world.database, world.config))
        await waits(world, setting)
        await rates.lock(conn, two)
    await setting
    told = await world.sql("SELECT account_id FROM notice WHERE kind = 'low' ORDER BY id")
    assert [row.account_id for row in told] == [one, two]
