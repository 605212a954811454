"""PostgreSQL and Incus go away and come back under a real api and a real worker, in the middle of everything."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from factories import ED25519, Client, World
from incusd import Incusd, an_incusd
from openvps.compute.systems import queries as systems
from openvps.engine.incus import open_engine
from openvps.engine.protocol import Engine
from running import Running, a_worker, an_api, free_port, listens
from sound import audited, unsound
from throwaway_postgres import folder_of, start_again, stop
from tiny_image import build_tiny_image

pytestmark = [pytest.mark.anyio, pytest.mark.live]

PROJECT = f"openvps-out{os.getpid() % 10000}"
PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def incusd() -> Iterator[Incusd]:
    with an_incusd(project=PROJECT) as daemon:
        yield daemon


@dataclass
class Site:
    """A whole OpenVPS of processes, its engine and a customer."""

    world: World
    incusd: Incusd
    engine: Engine
    customer: Client
    api: Running
    worker: Running
    refusals: Counter[int] = field(default_factory=Counter[int])

    async def ask(self, method: str, path: str, body: object = None, **more: object) -> httpx2.Response:
        """Ask until it is done: 503 is to come with Retry-After, and anything else above 499 is none of ours."""
        began = time.monotonic()
        while True:
            self.worker.tend()  # one that can't reach its database may end
            answer = await self.customer(method, path, body, **more)
            if answer.status_code != 503:
                assert answer.status_code < 500, answer.text
                return answer
            assert answer.headers["retry-after"]
            self.refusals[answer.status_code] += 1
            assert time.monotonic() - began < PATIENCE_S
            await asyncio.sleep(0.2)

    async def create(self, key: str) -> int:
        body = {"name": "web-1", "plan_id": 3, "os_id": 3, "location": "us-west"}
        answer = await self.ask("POST", "/servers/", body, headers={"Idempotency-Key": key})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def until(self, server: int, *statuses: str) -> str:
        began = time.monotonic()
        while (status := (await self.ask("GET", f"/servers/{server}/")).json().get("status", "gone")) not in statuses:
            assert time.monotonic() - began < PATIENCE_S, f"still {status}"
            await asyncio.sleep(0.2)
        return status

    async def at_rest(self) -> None:
        began = time.monotonic()
        while left := await self.world.sql("SELECT id, status FROM server WHERE look_at IS NOT NULL"):
            assert time.monotonic() - began < PATIENCE_S, left
            self.worker.tend()
            await asyncio.sleep(0.2)


@pytest.fixture
async def site(world: World, incusd: Incusd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Site]:
    build_tiny_image(tmp_path / "tiny.tar")
    engine = open_engine(incusd.socket, PROJECT, PROJECT)
    fingerprint = await engine.add_image(tmp_path / "tiny.tar")
    await world.sql(
        "UPDATE cell SET socket = :socket, project = :project, pool = :project, nic_prefix = 'out'",
        socket=str(incusd.socket),
        project=PROJECT,
    )
    await world.sql("UPDATE plan SET memory_mib = 128, storage_gb = 1, vcpus = 1")
    async with world.database.begin() as conn:
        await conn.exec_driver_sql("DELETE FROM image")  # no engine has it
        await systems.add_image(conn, cell_id=world.cell_id, system_id=3, fingerprint=fingerprint)
    monkeypatch.setenv("OPENVPS_SAMPLE_INTERVAL_S", "5")
    # Other tests' commits may be lost by a crash, for speed.
    [(name,)] = await world.sql("SELECT current_database()")
    await world.sql(f"ALTER DATABASE {name} SET synchronous_commit = on")
    port = free_port()
    api, worker = an_api(tmp_path / "api.log", port), a_worker(tmp_path / "worker.log")
    try:
        await asyncio.to_thread(listens, api, port)
        base = f"http://127.0.0.1:{port}/api/v1"
        async with httpx2.AsyncClient(base_url=base, trust_env=False, timeout=30) as http:
            made = await world.a_client()
            customer = Client(made.account_id, made.token, http)
            await customer("POST", "/ssh-keys/", {"name": "key", "public_key": ED25519})
            site = Site(world, incusd, engine, customer, api, worker)
            yield site
            for row in await world.sql("SELECT id FROM server"):
                await customer("DELETE", f"/servers/{row.id}/")
            await site.at_rest()
            assert await engine.machines() == []
            for image in await engine.images():  # the next test's database doesn't know them
                await engine.delete_image(image)
        for process in (worker, api):  # uvicorn ends by the signal in the end; a worker that just started, too
            assert await asyncio.to_thread(process.end) in {0, -signal.SIGTERM}
    finally:
        worker.kill()
        api.kill()
        await engine.close()


async def test_postgresql_dies_in_the_middle_and_everything_goes_on_when_it_is_back(site: Site) -> None:
    old = await site.create("old")
    await site.until(old, "active")
    folder = folder_of(str(site.world.config.database_url))
    asked = asyncio.gather(*(site.create(f"new-{number}") for number in range(3)))
    assert (await site.ask("POST", f"/servers/{old}/stop/")).status_code == 200
    await asyncio.to_thread(stop, folder)
    away = await site.customer("GET", f"/servers/{old}/")
    assert (away.status_code, away.headers["retry-after"]) == (503, "5")
    await asyncio.to_thread(start_again, folder)
    new = await asked
    assert len(set(new)) == 3
    for server in new:
        await site.until(server, "active")
    assert await site.until(old, "stopped") == "stopped"
    await site.at_rest()
    assert len(await site.world.sql("SELECT 1 FROM server")) == 4
    assert await unsound(site.world.database, site.engine) == []
    assert await audited(site.world.database, site.world.config, {site.world.cell_id: site.engine}) == []
    assert site.api.code is None


async def test_incus_is_killed_in_the_middle_and_everything_goes_on_when_it_is_back(site: Site) -> None:
    one, two, three = [await site.create(f"old-{number}") for number in range(3)]
    for server in (one, two, three):
        await site.until(server, "active")
    new = [await site.create(f"new-{number}") for number in range(2)]
    await site.ask("POST", f"/servers/{one}/stop/")
    await site.ask("POST", f"/servers/{two}/reboot/")
    await site.ask("DELETE", f"/servers/{three}/")
    await asyncio.to_thread(site.incusd.kill)
    began = time.monotonic()
    while not (shown := (await site.ask("GET", f"/servers/{two}/")).json())["unreachable"]:
        assert time.monotonic() - began < PATIENCE_S, shown
        await asyncio.sleep(0.1)
    site.incusd.start()  # by this thread: with the one that started it, it would end
    for server in (*new, two):
        await site.until(server, "active")
    await site.until(one, "stopped")
    await site.at_rest()
    assert (await site.ask("GET", f"/servers/{three}/")).status_code == 404
    assert await unsound(site.world.database, site.engine) == []
    assert await audited(site.world.database, site.world.config, {site.world.cell_id: site.engine}) == []
    failed = await site.world.sql("SELECT kind, error FROM action WHERE status <> 'completed'")
    assert failed == []


async def test_incus_is_killed_while_a_rebuild_has_taken_the_disk_and_the_server_gets_another(
    site: Site, tmp_path: Path
) -> None:
    """At the worst moment: the old disk is gone, and the new one isn't there yet, which takes a while to unpack."""
    server = await site.create("rebuilt")
    await site.until(server, "active")
    await asyncio.to_thread(build_tiny_image, tmp_path / "slow.tar", padding_mib=200)
    image = await site.engine.add_image(tmp_path / "slow.tar")
    async with site.world.database.begin() as conn:
        await systems.add_image(conn, cell_id=site.world.cell_id, system_id=3, fingerprint=image)
    program = site.incusd.disk(PROJECT, f"vps-{server}") / "rootfs" / "bin" / "busybox"
    assert program.exists()
    waits = asyncio.create_task(asyncio.to_thread(_kill_without, site.incusd, program))
    assert (await site.ask("POST", f"/servers/{server}/rebuild/", {"os_id": 3})).status_code == 200
    await waits
    assert not program.exists()
    site.incusd.start()  # by this thread: with the one that started it, it would end
    await site.until(server, "active")
    await site.at_rest()
    assert await site.engine.run(f"vps-{server}", ["test", "-e", "/padding"]) == 0
    assert await unsound(site.world.database, site.engine) == []
    assert await audited(site.world.database, site.world.config, {site.world.cell_id: site.engine}) == []
    rebuilt = await site.world.sql("SELECT status, error FROM action WHERE kind = 'server.rebuild'")
    assert rebuilt == [("completed", None)]


def _kill_without(incusd: Incusd, file: Path) -> None:
    """Kill the daemon as soon as a file isn't there."""
    began = time.monotonic()
    while file.exists():
        assert time.monotonic() - began < PATIENCE_S, "it was there all the time"
        time.sleep(0.001)
    incusd.kill()
