"""A machine's life on a real Incus: every verb does its work, and twice is no harm."""

import asyncio
from dataclasses import replace

import pytest
from workshop import Workshop, on_host, until_true

from openvps.engine.protocol import Busy, EngineError, Machine, Missing
from patience import is_busy, until

pytestmark = [pytest.mark.live, pytest.mark.anyio]


async def test_a_created_machine_runs_as_specified(workshop: Workshop) -> None:
    spec = await workshop.a_machine(memory_mib=192, marks={"server": "7"})
    assert await workshop.engine.look(spec.name) == Machine(
        name=spec.name,
        status="running",
        vcpus=1,
        memory_mib=192,
        storage_gb=1,
        hostname=spec.hostname,
        marks={"server": "7"},
    )


async def test_what_is_not_there_is_seen_as_none(workshop: Workshop) -> None:
    assert await workshop.engine.look("engnone") is None


async def test_creating_what_exists_changes_nothing(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    before = await workshop.engine.look(spec.name)
    await workshop.engine.run(spec.name, ["touch", "/mine"])
    await until(lambda: workshop.engine.create(spec))
    assert await workshop.engine.look(spec.name) == before
    assert await workshop.engine.run(spec.name, ["test", "-e", "/mine"]) == 0


async def test_a_machine_being_made_is_busy_not_stopped(workshop: Workshop) -> None:
    spec, seen = workshop.a_spec(), set[str]()
    making = asyncio.create_task(workshop.engine.create(spec))
    while not making.done():
        try:
            machine = await workshop.engine.look(spec.name)
            seen.add(machine.status if machine else "absent")
        except Busy:
            seen.add("busy")
    await making
    assert "busy" in seen
    assert seen <= {"absent", "busy", "running"}


async def test_a_machine_being_made_is_not_deleted(workshop: Workshop) -> None:
    spec = workshop.a_spec()
    making = asyncio.create_task(workshop.engine.create(spec))
    while not await is_busy(workshop.engine, spec.name):
        assert not making.done()
    with pytest.raises(Busy):
        await workshop.engine.delete(spec.name)
    await making
    await workshop.until_status(spec.name, "running")


async def test_two_creates_at_once_make_one_machine(workshop: Workshop) -> None:
    spec = workshop.a_spec()
    results = await asyncio.gather(*(workshop.engine.create(spec) for _ in range(2)), return_exceptions=True)
    assert all(result is None or isinstance(result, Busy) for result in results)
    await workshop.until_status(spec.name, "running")


async def test_start_and_kill_twice_are_no_ops(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    for _ in range(2):
        await workshop.engine.start(spec.name)
    for _ in range(2):
        await workshop.engine.kill(spec.name)
    await workshop.until_status(spec.name, "stopped")
    await until(lambda: workshop.engine.start(spec.name))
    await workshop.until_status(spec.name, "running")


async def test_an_interface_that_stayed_behind_is_not_in_the_way_of_a_start(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    await until(lambda: workshop.engine.kill(spec.name))
    await workshop.until_status(spec.name, "stopped")
    await on_host("ip", "link", "add", spec.nic, "type", "veth", "peer", "name", f"p{spec.nic}")
    try:
        await until(lambda: workshop.engine.start(spec.name))
    except EngineError:
        await on_host("ip", "link", "delete", "dev", spec.nic)  # not in the next test's way either
        raise
    await workshop.until_status(spec.name, "running")
    assert f"dev {spec.nic}" in await on_host("ip", "route", "get", spec.addresses[0])


async def test_an_interface_of_a_running_machine_is_never_removed(workshop: Workshop) -> None:
    other, spec = await workshop.a_machine(), workshop.a_spec()
    with pytest.raises(EngineError, match="File exists"):
        await until(lambda: workshop.engine.create(replace(spec, nic=other.nic)))
    with pytest.raises(EngineError):
        await until(lambda: workshop.engine.start(spec.name))
    assert f"dev {other.nic}" in await on_host("ip", "route", "get", other.addresses[0])


async def test_stop_returns_at_once_and_twice_is_a_no_op(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    async with asyncio.timeout(1):
        await workshop.engine.stop(spec.name, 10)
        await workshop.engine.stop(spec.name, 10)
    machine = await workshop.until_status(spec.name, "stopped", 10)
    assert machine.stopped_by_guest
    await workshop.engine.stop(spec.name, 10)


async def test_a_guest_that_ignores_stop_can_still_be_killed(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    assert await workshop.engine.run(spec.name, ["touch", "/ignore"]) == 0
    await workshop.engine.stop(spec.name, 2)
    with pytest.raises(AssertionError):
        await workshop.until_status(spec.name, "stopped", 3)
    await until(lambda: workshop.engine.kill(spec.name))
    await workshop.until_status(spec.name, "stopped")


async def test_a_guest_can_be_killed_within_its_grace(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    assert await workshop.engine.run(spec.name, ["touch", "/ignore"]) == 0
    await workshop.engine.stop(spec.name, 60)
    async with asyncio.timeout(10):
        await until(lambda: workshop.engine.kill(spec.name))
    await workshop.until_status(spec.name, "stopped")


async def test_delete_leaves_nothing_and_twice_is_a_no_op(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    await workshop.engine.kill(spec.name)
    for _ in range(2):
        await until(lambda: workshop.engine.delete(spec.name))
    assert await workshop.engine.look(spec.name) is None
    assert spec.name not in [machine.name for machine in await workshop.engine.machines()]


async def test_a_running_machine_is_not_deleted(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    with pytest.raises(EngineError, match="running"):
        await workshop.engine.delete(spec.name)


async def test_verbs_on_an_absent_machine_say_missing(workshop: Workshop) -> None:
    engine = workshop.engine
    for work in (engine.start("engnone"), engine.kill("engnone"), engine.stop("engnone", 1)):
        with pytest.raises(Missing):
            await work
    with pytest.raises(Missing):
        await engine.mark("engnone", "key", "value")
    with pytest.raises(Missing):
        await engine.run("engnone", ["true"])


async def test_an_unknown_image_is_missing(workshop: Workshop) -> None:
    with pytest.raises(Missing):
        await workshop.engine.create(workshop.a_spec(image="0" * 64))


async def test_a_poweroff_from_inside_is_seen_as_the_guests(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    await workshop.engine.run(spec.name, ["poweroff"])
    assert (await workshop.until_status(spec.name, "stopped")).stopped_by_guest


async def test_marks_are_kept_and_configure_writes_the_spec(workshop: Workshop) -> None:
    spec = await workshop.a_machine(marks={"reboot": "1"})
    await workshop.engine.mark(spec.name, "restored", "2")
    renamed = workshop.a_spec(name=spec.name, nic=spec.nic, addresses=spec.addresses, hostname="new")
    for _ in range(2):
        await workshop.engine.configure(spec.name, renamed)
    machine = await workshop.engine.look(spec.name)
    assert machine
    assert (machine.hostname, machine.marks) == ("new", {"reboot": "1", "restored": "2"})
    await workshop.engine.kill(spec.name)
    await until(lambda: workshop.engine.start(spec.name))

    async def named() -> bool:
        return (await workshop.engine.read_file(spec.name, "/etc/hostname")).strip() == b"new"

    assert await until_true(named)


async def test_a_machine_without_an_interface_is_made_off_and_has_no_network(workshop: Workshop) -> None:
    spec = workshop.a_spec(nic="", addresses=())
    await until(lambda: workshop.engine.create(spec, start=False))
    machine = await until(lambda: workshop.engine.look(spec.name))
    assert machine is not None
    assert machine.status == "stopped"
    await until(lambda: workshop.engine.start(spec.name))
    only_lo = 'set -- /sys/class/net/*; [ "$*" = /sys/class/net/lo ]'
    assert await workshop.engine.run(spec.name, ["sh", "-c", only_lo]) == 0
