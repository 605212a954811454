"""No room, no events, no right time: a full pool, a full disk, a cut event connection, a clock that is set back."""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from stage import PATIENCE_S, Stage

import openvps.cells
from factories import World
from incusd import Incusd, an_incusd
from lab import Lab
from openvps.cells import Cells
from openvps.compute.servers.context import Context
from openvps.compute.servers.converge import converge
from openvps.compute.servers.names import machine_name
from openvps.core.db import Record
from openvps.core.settings import Settings
from openvps.engine.faulty import Faulty
from openvps.engine.incus import open_engine
from openvps.engine.protocol import Engine
from running import a_worker
from tiny_image import build_tiny_image

pytestmark = [pytest.mark.anyio, pytest.mark.live]

PROJECT = f"openvps-full{os.getpid() % 10000}"


@pytest.fixture
def small() -> Iterator[Incusd]:
    """Return a daemon whose pool is soon full."""
    with an_incusd(project=PROJECT, driver="btrfs", size="600MiB") as daemon:
        yield daemon


async def test_a_create_in_a_full_pool_is_an_error_and_can_be_deleted(
    small: Incusd, world: World, lab: Lab, tmp_path: Path
) -> None:
    build_tiny_image(tmp_path / "tiny.tar")
    engine = open_engine(small.socket, PROJECT, PROJECT)
    stage = Stage(world, Faulty(engine), await engine.add_image(tmp_path / "tiny.tar"), lab, first_id=990_000)
    await stage.prepare()
    full = small.socket.parent / "storage-pools" / PROJECT / "full"
    fill = small.inside("dd", "if=/dev/zero", f"of={full}", "bs=64k")
    filled = await asyncio.to_thread(subprocess.run, fill, capture_output=True, check=False)
    assert filled.returncode != 0, "the pool can't be filled"
    number = await stage.create()
    await converge(stage.context(), number, patience_s=1)
    assert stage.engine.calls["create"] >= 1
    await world.sql("UPDATE server SET deadline_at = now()")
    await stage.settle(number)
    assert await stage.status(number) == "error"
    [(error,)] = await world.sql("SELECT error FROM server")
    assert error
    assert await world.sql("SELECT 1 FROM ledger_hold") == []
    await asyncio.to_thread(subprocess.run, small.inside("rm", str(full)), check=True)
    assert (await stage.customer("DELETE", f"/servers/{number}/")).status_code == 204
    await stage.settle(number)
    another = await stage.create()
    await stage.settle(another)
    assert await stage.status(another) == "active"
    await stage.clear()
    await engine.close()


async def test_a_server_with_a_full_disk_goes_everywhere_a_server_goes(stage: Stage) -> None:
    number = await stage.a_server("active")
    for part in range(40):  # each is soon done
        fill = ["dd", "if=/dev/zero", f"of=/root/full{part}", "bs=1M", "count=64"]
        if await stage.real.run(machine_name(number), fill) != 0:
            break
    else:
        pytest.fail("the disk can't be filled")
    for verb, body, status in (
        ("stop", None, "stopped"),
        ("start", None, "active"),
        ("reboot", None, "active"),
        ("resize", {"plan": 1}, "active"),
        ("stop", None, "stopped"),
        ("start", None, "active"),
    ):
        answer = await stage.customer("POST", f"/servers/{number}/{verb}/", body)
        assert answer.status_code == 200, answer.text
        await stage.settle(number)
        await stage.agree(number, status)
    assert await stage.unsound() == []


@asynccontextmanager
async def watched(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[None]:
    """Have a worker's watchers follow the stage's engine, but for the looks at the whole cell from time to time."""

    async def kept_open() -> None:
        return

    async def nobodys_turn(_name: str, _interval_s: float) -> bool:
        return False

    monkeypatch.setattr(stage.engine, "close", kept_open)

    def the_stages(_config: Settings, _row: Record) -> Engine:
        return stage.engine

    monkeypatch.setattr(openvps.cells, "open_cell", the_stages)
    engines: dict[int, Engine] = {}
    cells = Cells(Context(stage.world.database, stage.world.config, engines), engines, nobodys_turn)
    keeping = asyncio.create_task(cells.keep())
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def test_a_shutdown_while_the_event_connection_is_cut_is_seen_when_it_is_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = [await stage.a_server("active") for _ in range(2)]
    async with watched(stage, monkeypatch):
        await until(lambda: stage.engine.calls["usage"] > 0)  # by the look with which a stream begins
        await stage.real.run(machine_name(one), ["poweroff"])
        await stopped(stage, one)  # its event was told
        opened = stage.engine.calls["events"]
        stage.engine.fail("events", before=False)  # the next event is the last one
        stage.engine.fail("events", before=True, times=1000)  # and the connection can't be opened again
        await stage.real.run(machine_name(two), ["true"])
        await until(lambda: stage.engine.calls["events"] > opened)
        await stage.real.run(machine_name(two), ["poweroff"])
        machine = await stage.real.look(machine_name(two))
        while machine is not None and machine.status != "stopped":
            machine = await stage.real.look(machine_name(two))
        assert await stage.status(two) == "active"  # nobody was told
        stage.engine.heal()
        await stopped(stage, two)


async def stopped(stage: Stage, number: int) -> None:
    began = time.monotonic()
    while await stage.status(number) != "stopped":
        assert time.monotonic() - began < PATIENCE_S
        await asyncio.sleep(0.1)


async def until(seen: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not seen():
        assert time.monotonic() - began < PATIENCE_S
        await asyncio.sleep(0.05)


async def test_after_the_clock_was_set_back_everything_goes_on(stage: Stage, tmp_path: Path) -> None:
    """All that was noted before is an hour ahead now: turns, looks, and the heartbeat of a worker that died."""
    number = await stage.create()
    await stage.at_its_engine()
    for change in (
        "INSERT INTO turn (name, taken_at) VALUES ('sweep', now() + interval '1 hour')",
        "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() + interval '1 hour')",
        "UPDATE server SET look_at = look_at + interval '1 hour', deadline_at = deadline_at + interval '1 hour'",
    ):
        await stage.world.sql(change)
    await stage.world.sql(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args, status, worker_id)"
        " SELECT 'default', 'converge_server', name, name, jsonb_build_object('server_id', CAST(:id AS int)),"
        " 'doing', procrastinate_workers.id FROM procrastinate_workers, concat('server:', CAST(:id AS text)) AS name",
        id=number,
    )
    worker = a_worker(tmp_path / "worker.log")
    try:
        await asyncio.to_thread(worker.says, "worker_ready")
        await stage.at_rest(within_s=40)
    finally:
        worker.end()
    assert await stage.status(number) == "active"
    assert await stage.unsound() == []
