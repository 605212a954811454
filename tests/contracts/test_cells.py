"""What customers see of cells: a silent one's servers are unreachable, and creates go where somebody answers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from factories import World
from openvps.compute.locations import queries as locations
from openvps.compute.servers import rows, watch
from openvps.compute.servers.context import Context
from openvps.compute.servers.names import machine_name
from openvps.compute.systems import queries as systems
from openvps.core.clock import now
from openvps.engine.faulty import Faulty
from openvps.engine.protocol import Event, MachineSpec
from openvps.schema import address, address_pool
from simulated import Simulated

pytestmark = pytest.mark.anyio

NEW = {"name": "web-1", "plan_id": 3, "os_id": 3, "location": "us-west"}


async def a_second_cell(world: World, *, room_memory_mib: int = 4096) -> int:
    """Return a remote cell of the same location, with an image and an address, that answers."""
    cell_id = await world.a_remote_cell("there", room_memory_mib=room_memory_mib)
    async with world.database.begin() as conn:
        await locations.seen(conn, cell_id)
        await systems.add_image(conn, cell_id=cell_id, system_id=3, fingerprint="e" * 64)
        pool = insert(address_pool).values(cell_id=cell_id, network="198.51.100.0/24").returning(address_pool.c.id)
        pool_id = (await conn.execute(pool)).scalar_one()
        await conn.execute(insert(address).values(ip="198.51.100.7", pool_id=pool_id, family=4))
    return cell_id


async def away(world: World, cell_id: int) -> None:
    async with world.database.begin() as conn:
        await locations.away(conn, cell_id, "no answer within 4 s")


async def cell_of(world: World, server: int) -> int:
    return (await world.sql("SELECT cell_id FROM server WHERE id = :id", id=server))[0][0]


async def test_servers_of_a_silent_cell_are_unreachable_with_their_last_state(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer)
    assert (await customer("GET", f"/servers/{number}/")).json()["unreachable"] is False
    await away(world, 1)
    shown = (await customer("GET", f"/servers/{number}/")).json()
    assert (shown["unreachable"], shown["status"]) == (True, "active")
    assert (await customer("GET", "/servers/")).json()["results"][0]["unreachable"] is True
    async with world.database.begin() as conn:
        await locations.seen(conn, 1)
    assert (await customer("GET", f"/servers/{number}/")).json()["unreachable"] is False


async def test_a_cell_that_nobody_asked_for_two_minutes_is_silent_too(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer)
    await world.sql("UPDATE cell SET seen_at = now() - interval '121 seconds'")
    assert (await customer("GET", f"/servers/{number}/")).json()["unreachable"] is True


async def test_a_create_goes_to_a_cell_that_answers_though_the_other_has_more_room(world: World) -> None:
    second = await a_second_cell(world)
    customer = await world.a_client()
    assert await cell_of(world, await world.a_server(customer)) == 1
    await away(world, 1)
    assert await cell_of(world, await world.a_server(customer)) == second


async def test_a_create_waits_for_a_cell_that_is_away_for_a_moment(world: World) -> None:
    await away(world, 1)
    customer = await world.a_client()
    assert (await customer("POST", "/servers/", NEW)).status_code == 201


async def test_a_create_is_503_where_no_cell_was_seen_for_two_minutes(world: World) -> None:
    await a_second_cell(world)
    await world.sql("UPDATE cell SET away_at = now(), seen_at = now() - interval '3 minutes'")
    customer = await world.a_client()
    answer = await customer("POST", "/servers/", NEW)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


async def test_servers_of_a_cell_that_is_away_are_not_swept_until_their_deadline(world: World) -> None:
    second = await a_second_cell(world, room_memory_mib=1 << 20)
    customer = await world.a_client()
    there = await world.a_server(customer, status="provisioning")
    assert await cell_of(world, there) == second
    await away(world, second)
    here = await world.a_server(customer, status="provisioning")
    async with world.database.begin() as conn:
        assert await rows.due(conn, now()) == [here]
    await world.sql("UPDATE server SET deadline_at = now() WHERE id = :id", id=there)
    async with world.database.begin() as conn:
        assert set(await rows.due(conn, now())) == {here, there}


async def test_a_look_at_a_cell_is_two_calls_however_many_servers_and_finds_what_no_event_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "REBOOTS_S", 0.0)
    customer = await world.a_client()
    runs, is_off, is_gone = [await world.a_server(customer) for _ in range(3)]
    simulated = Simulated()
    image = await simulated.add_image(Path("any"))
    for number in (runs, is_off):
        spec = MachineSpec(machine_name(number), image, 1, 128, 1, "web-1", addresses=["192.0.2.9"], nic="")
        await simulated.create(spec, start=number == runs)
    engine = Faulty(simulated)
    await watch.look_at_cell(Context(world.database, world.config, {world.cell_id: engine}), world.cell_id)
    assert engine.calls == {"machines": 2, "usage": 1}, "two, and one more for what may be in the middle of a reboot"
    async with world.database.begin() as conn:
        assert set(await rows.due(conn, now())) == {is_off, is_gone}
    await engine.close()


async def one_that_was_shut_down(world: World) -> tuple[Faulty, str]:
    """Return an engine with the machine of an active server, off by a shutdown from inside, and its name."""
    number = await world.a_server(await world.a_client())
    simulated = Simulated()
    image = await simulated.add_image(Path("any"))
    spec = MachineSpec(machine_name(number), image, 1, 128, 1, "web-1", addresses=["192.0.2.9"], nic="")
    await simulated.create(spec)
    await simulated.run(spec.name, ["poweroff"])
    return Faulty(simulated), spec.name


@pytest.mark.parametrize("off", ["in a reboot", "for good"])
async def test_a_machine_that_is_found_off_is_looked_at_again_before_it_is_said_to_be_shut_down(
    world: World, off: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, name = await one_that_was_shut_down(world)
    machines: Callable[..., Awaitable[Any]] = engine.machines

    async def looked() -> object:
        seen = await machines()
        if off == "in a reboot":
            await engine.start(name)
        return seen

    monkeypatch.setattr(watch, "REBOOTS_S", 0.0)
    monkeypatch.setattr(engine, "machines", looked)
    await watch.look_at_cell(Context(world.database, world.config, {world.cell_id: engine}), world.cell_id)
    [row] = await world.sql("SELECT status, wanted, look_at FROM server")
    assert tuple(row) == (("active", "running", None) if off == "in a reboot" else ("stopped", "stopped", None))
    told = await world.sql("SELECT status FROM action WHERE kind = 'server.powered_off'")
    assert [one.status for one in told] == ([] if off == "in a reboot" else ["completed"])
    await engine.close()


@pytest.mark.parametrize("told", ["by a look at the cell", "by an event"])
async def test_a_machine_seen_off_in_a_reboot_that_is_done_by_now_was_not_shut_down_from_inside(
    world: World, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, name = await one_that_was_shut_down(world)
    verb = "machines" if told == "by a look at the cell" else "look"
    look: Callable[..., Awaitable[Any]] = getattr(engine, verb)

    async def look_and_be_late(*arguments: str) -> object:
        """Return what was there while it was rebooted; its row says by now that this is done."""
        seen = await look(*arguments)
        await world.sql("UPDATE server SET version = version + 1")  # as with each thing that is begun
        return seen

    async def one_event() -> AsyncIterator[Event]:
        yield Event(name, "instance-shutdown", now())

    monkeypatch.setattr(watch, "REBOOTS_S", 0.0)
    monkeypatch.setattr(engine, verb, look_and_be_late)
    monkeypatch.setattr(engine, "events", one_event)
    context = Context(world.database, world.config, {world.cell_id: engine})
    if verb == "machines":
        await watch.look_at_cell(context, world.cell_id)
    else:
        await watch.follow_events(context, world.cell_id, engine)
    assert engine.calls[verb] == (2 if verb == "machines" else 1)
    assert await world.sql("SELECT status, wanted, look_at FROM server") == [("active", "running", None)]
    await engine.close()
