"""A cell that is a cluster of three, over HTTPS: a server's life on it, a member killed, quorum lost and back.

It is added by `openvps cell add` as its operator does; api and worker are processes of their own.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from cluster import NUMBER, POOL, Cluster, a_cluster
from factories import Client
from incusd import Incusd
from installation import Installation, an_installation
from openvps.compute.locations import queries as locations
from openvps.compute.systems import queries as systems
from openvps.core import settings
from openvps.core.db import Database
from openvps.engine.incus.reach import open_cell
from openvps.engine.protocol import Engine
from openvps.ops import backup_key
from openvps.ops.boot import free_interfaces
from sound import unsound
from tiny_image import build_tiny_image

PROJECT = f"openvps-clu{NUMBER}"
NETWORKS = f"10.99.{NUMBER}.0/24,fd99:{NUMBER}::/64"
NIC_PREFIX = "clu"
CREATES = 10
PATIENCE_S = 120.0


@dataclass
class Site:
    """The cluster as a cell, and a customer of it."""

    made: Installation
    cluster: Cluster
    customer: Client
    engine: Engine
    rows: list[list[str]] = field(default_factory=list[list[str]])

    async def seen(self, what: str, look: Callable[[], Awaitable[object]], within_s: float = PATIENCE_S) -> None:
        """Wait until it is true, and note how long it took. Raises AssertionError where it isn't."""
        began = time.monotonic()
        while not await look():
            assert time.monotonic() - began < within_s, f"never seen: {what}; {self.made.sql(STATE)}"
            await asyncio.sleep(0.1)
        self.rows.append([what, "yes", f"{time.monotonic() - began:.1f}"])

    async def create(self) -> int:
        body = {"name": "clustered", "plan_id": 3, "os_id": 3, "location": "cluster"}
        answer = await self.customer("POST", "/servers/", body)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def ask(self, server: int, verb: str, body: Any = None) -> None:
        answer = await self.customer("POST", f"/servers/{server}/{verb}/", body)
        assert answer.status_code == 200, answer.text

    def all(self, servers: list[int], status: str) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            shown = [(await self.customer("GET", f"/servers/{server}/")).json() for server in servers]
            return all(one["status"] == status for one in shown)

        return look

    async def shown(self, server: int) -> dict[str, Any]:
        return (await self.customer("GET", f"/servers/{server}/")).json()


STATE = "SELECT id, status, wanted, look_at, error FROM server"


async def lives(site: Site) -> None:
    """Lead a server through its life."""
    server = await site.create()
    await site.seen("a server is active", site.all([server], "active"))
    for verb, body, status in (
        ("stop", None, "stopped"),
        ("start", None, "active"),
        ("reboot", None, "active"),
        ("resize", {"plan": 2}, "active"),
    ):
        await site.ask(server, verb, body)
        await site.seen(verb, site.all([server], status))
    backup = (await site.customer("POST", "/backups/", {"server_id": server})).json()["id"]

    async def stored() -> bool:
        return (await site.customer("GET", f"/backups/{backup}/")).json()["status"] == "completed"

    await site.seen("a backup", stored)
    assert (await site.customer("POST", f"/backups/{backup}/restore/")).status_code == 200
    await site.seen("it is restored", site.all([server], "active"))
    assert (await site.customer("DELETE", f"/backups/{backup}/")).status_code == 204
    assert (await site.customer("DELETE", f"/servers/{server}/")).status_code == 204

    async def gone() -> bool:
        return not site.made.sql("SELECT 1 FROM server")

    await site.seen("it is deleted", gone)


async def loses_a_member(site: Site) -> None:
    """Kill a member in the middle of ten creates; what is on it waits, all else goes on."""
    servers = [await site.create() for _ in range(CREATES)]
    victim = site.cluster.members["two"]
    await asyncio.sleep(0.3)
    await asyncio.to_thread(victim.kill)

    async def some() -> bool:
        shown = [await site.shown(server) for server in servers]
        return sum(one["status"] == "active" for one in shown) >= CREATES // 2

    await site.seen(f"a member killed in the middle of {CREATES} creates: half of them active", some)
    another = await site.create()
    await site.seen("one more, made while the member is away", site.all([another], "active"))
    site.rows.append(["active while it is away", f"{len(await _active(site))} of {CREATES + 1}", ""])
    await asyncio.to_thread(_started_by_its_host, victim)
    await site.seen(f"the member is back: all {CREATES + 1} active", site.all([*servers, another], "active"), 400)
    assert len(set(site.cluster.places(PROJECT).values())) > 1


async def _active(site: Site) -> list[int]:
    return [row[0] for row in site.made.sql("SELECT id FROM server WHERE status = 'active'")]


async def loses_quorum(site: Site) -> None:
    """Kill two of three: nothing can be done, and nothing is lost."""
    server = (await _active(site))[0]
    for name in ("two", "three"):
        await asyncio.to_thread(site.cluster.members[name].kill)

    async def unreachable() -> bool:
        return (await site.shown(server))["unreachable"]

    await site.seen("two of three killed: its servers are unreachable", unreachable)
    assert (await site.shown(server))["status"] == "active"
    await site.ask(server, "stop")
    assert (await site.shown(server))["status"] == "stopping"
    for name in ("two", "three"):
        _started_by_its_host(site.cluster.members[name], ready=False)
    for name in ("two", "three"):
        await asyncio.to_thread(site.cluster.members[name].wait_ready)

    async def reachable() -> bool:
        return not await unreachable()

    await site.seen("they are back: reachable", reachable)
    await site.seen("what was asked for meanwhile is done", site.all([server], "stopped"))


def _started_by_its_host(member: Incusd, *, ready: bool = True) -> None:
    """Start a daemon again as the units of its host do, which `openvps host prepare` has written."""
    subprocess.run(member.inside("sh", "-c", free_interfaces(NIC_PREFIX)), check=True)
    member.start(ready=ready)


@contextmanager
def a_cell_of_three() -> Generator[tuple[Installation, Cluster]]:
    """Run a cluster, an installation beside it, and have it added as a cell by its operator's command."""
    with (
        a_cluster() as cluster,
        an_installation(IPV4_POOL="10.97.0.0/24", NIC_PREFIX=NIC_PREFIX, STOP_GRACE_S="2") as made,
    ):
        (made.folder / "images").mkdir()
        added = subprocess.run(
            [
                *(sys.executable, "-P", "-m", "openvps", "cell", "add", ",".join(cluster.urls)),
                *("--trust-token", cluster.token(PROJECT), "--name", "cluster", "--location", "cluster"),
                *("--location-name", "Cluster", "--country", "Here", "--country-code", "AQ", "--network", NETWORKS),
                *("--project", PROJECT, "--pool", POOL, "--nic-prefix", NIC_PREFIX),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.sql("SELECT 1 FROM cell WHERE name = 'cluster'"), added.stderr
        # The first cell has no engine here, and so no image that could have been copied.
        asyncio.run(_image(made))
        backup_key.ensure(settings.load())
        made.start(apis=1, workers=1)
        yield made, cluster


async def _image(made: Installation) -> None:
    build_tiny_image(made.folder / "tiny.tar")
    database = Database(made.database_url)
    engine, cell = await _engine(database)
    fingerprint = await engine.add_image(made.folder / "tiny.tar")
    async with database.begin() as conn:
        await systems.add_image(conn, cell_id=cell, system_id=3, fingerprint=fingerprint)
    await engine.close()
    await database.close()


async def _engine(database: Database) -> tuple[Engine, int]:
    async with database.begin() as conn:
        row = await locations.cell_named(conn, "cluster")
    assert row is not None
    return open_cell(settings.load(), row), row.id


async def act(made: Installation, cluster: Cluster, *acts: Callable[[Site], Awaitable[None]]) -> list[list[str]]:
    """Run some acts on a cell of three; returns what was seen."""
    customer = await made.a_customer()
    database = Database(made.database_url)
    engine, _ = await _engine(database)
    base = f"http://127.0.0.1:{made.ports[0]}/api/v1"
    async with httpx2.AsyncClient(base_url=base, trust_env=False, timeout=30) as http:
        site = Site(made, cluster, Client(customer.account_id, customer.token, http), engine)
        for one in acts:
            await one(site)
            assert await unsound(database, engine) == []
    await engine.close()
    await database.close()
    return site.rows
