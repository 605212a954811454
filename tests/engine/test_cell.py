"""The cell on a real Incus: capacity, usage, images, events, and what it says when nobody is there."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from workshop import Workshop, on_host, until_true

from lab import Lab
from openvps.engine.incus import open_engine
from openvps.engine.protocol import BEGUN, Away, Engine, Event, Usage
from tiny_image import build_tiny_image

pytestmark = [pytest.mark.live, pytest.mark.anyio]


async def test_capacity_is_this_hosts(engine: Engine) -> None:
    capacity = await engine.capacity()
    memory_kib = int((await on_host("cat", "/proc/meminfo")).split()[1])
    assert capacity.cpus == capacity.largest_host_cpus >= 1
    assert 0.8 < capacity.memory_mib / (memory_kib / 1024) < 1.2
    assert capacity.disk_gb >= 5


async def test_usage_counts_what_a_machine_does(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    # Kept in memory: /dev is a file system of its own. A second or more of processor time.
    work = "dd if=/dev/zero of=/dev/kept bs=1M count=40; head -c 150000000 /dev/urandom | md5sum"
    assert await workshop.engine.run(spec.name, ["sh", "-c", work]) == 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for _ in range(4):
            out.sendto(bytes(1000), (spec.addresses[0], 9))
    await workshop.engine.run(spec.name, ["ping", "-c", "3", "-s", "1000", "-W", "1", "192.0.2.1"])

    async def counted() -> Usage | None:  # Incus counts anew every few seconds
        usage = (await workshop.engine.usage()).get(spec.name)
        return usage if usage and usage.received_bytes > 3000 and usage.cpu_seconds > 0.2 else None

    usage = await until_true(counted)
    assert usage
    assert usage.sent_bytes > 3000
    assert usage.cpu_seconds < 60
    assert usage.memory_used_bytes < 128 << 20


async def test_a_stopped_machine_has_no_usage_but_is_listed(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    await workshop.engine.kill(spec.name)
    listed = {machine.name: machine for machine in await workshop.engine.machines()}
    assert listed[spec.name].status == "stopped"
    assert listed[spec.name].memory_mib == spec.memory_mib


async def test_an_image_added_twice_is_one_and_deleted_twice_is_none(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "other.tar"
    build_tiny_image(file, note="for one test")
    fingerprint = await engine.add_image(file)
    assert await engine.add_image(file) == fingerprint
    assert (await engine.images()).count(fingerprint) == 1
    for _ in range(2):
        await engine.delete_image(fingerprint)
    assert fingerprint not in await engine.images()


async def test_a_poweroff_from_inside_is_told_as_an_event(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    events = cast("AsyncGenerator[Event]", workshop.engine.events())
    assert (await anext(events)).kind == BEGUN
    first = asyncio.create_task(_next(events, "instance-updated", spec.name))
    marks = 0
    while not first.done():  # until the engine has noted that somebody listens, so that nothing is missed
        marks += 1
        await workshop.engine.mark(spec.name, "seen", str(marks))
    await first
    await workshop.engine.run(spec.name, ["poweroff"])
    async with asyncio.timeout(15):
        shutdown = await _next(events, "instance-shutdown", spec.name)
    await events.aclose()
    assert abs(shutdown.at - datetime.now(UTC)) < timedelta(seconds=5)
    assert (await workshop.until_status(spec.name, "stopped")).stopped_by_guest


async def _next(events: AsyncGenerator[Event], kind: str, machine: str) -> Event:
    """Return the next event of a kind of one machine: other tests' machines are in the same project."""
    async for event in events:
        if (event.kind, event.machine) == (kind, machine):
            return event
    raise AssertionError(f"no {kind}")


async def test_an_address_nobody_spoke_to_is_forgotten_without_complaint(engine: Engine) -> None:
    await engine.forget_address("10.79.0.250")
    await engine.forget_address("fd79::250")


async def test_a_freed_address_leaves_no_tracked_connection(workshop: Workshop) -> None:
    address = "10.79.0.251"
    for ports, ends in (("9", ("-s", address, "-d", "192.0.2.1")), ("7", ("-s", "192.0.2.1", "-d", address))):
        add = ("conntrack", "-I", "-p", "udp", "-t", "60", "--sport", ports, "--dport", ports, *ends)
        await on_host(*add)
    assert address in await on_host("conntrack", "-L")
    await workshop.engine.forget_address(address)
    assert address not in await on_host("conntrack", "-L")


async def test_no_daemon_is_away_within_the_connect_timeout(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "nobody.socket", "h1", "pool")
    for work in (engine.look("eng"), engine.machines(), engine.usage(), anext(aiter(engine.events()))):
        async with asyncio.timeout(3):
            with pytest.raises(Away):
                await work
    await engine.close()


async def test_a_daemon_that_never_answers_is_away_in_time(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(silent, tmp_path / "silent.socket")
    engine = open_engine(tmp_path / "silent.socket", "h1", "pool")
    async with asyncio.timeout(6):
        with pytest.raises(Away):
            await engine.look("eng")
    await engine.close()
    server.close()


async def test_another_projects_machines_are_not_ours(lab: Lab, workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    other = open_engine(Path(lab.socket), "default", lab.pool)
    assert await other.look(spec.name) is None
    assert spec.name not in [machine.name for machine in await other.machines()]
    await other.close()
