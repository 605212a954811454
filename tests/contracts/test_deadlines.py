"""What is on its way ends by its deadline as TRANSITIONS names it, whatever the engine does, and says why.

The engine is SIMULATED, and answers nothing from the moment on at which something is asked for.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from factories import Client, World
from openvps.compute.servers.context import Context
from openvps.compute.servers.converge import converge, machine_name
from openvps.compute.servers.states import SETTLED, STATUSES, TRANSITIONS
from openvps.compute.servers.suspension import enforce
from openvps.compute.snapshots import converge as snapshots
from openvps.compute.systems import queries as systems
from openvps.engine.faulty import VERBS, Faulty
from simulated import Simulated
from sound import unsound

pytestmark = pytest.mark.anyio

PATIENCE_S = 60.0
GIVEN_UP = "It took too long and was given up."
PROMISED = (
    "SELECT plan_id, vcpus, memory_mib, storage_gb, price_monthly_micro, ledger_hold.amount_micro"
    " FROM server LEFT JOIN ledger_hold ON reference = 'server:' || server.id"
)


@dataclass
class Case:
    """Where a way begins, where it ends when its time is over, and how it is asked for."""

    begins: str
    ends: str
    path: str = ""
    body: Any = None


CASES = {
    "create": Case("nothing", "error"),
    "retry": Case("error", "error", "retry/"),
    "start": Case("stopped", "stopped", "start/"),
    "stop": Case("active", "active", "stop/"),
    "reboot": Case("active", "stopped", "reboot/"),
    "hard_stop": Case("active", "active", "power/", {"action": "hard_stop"}),
    "resize": Case("active", "active", "resize/", {"plan": 1}),
    "restore": Case("active", "active"),
    "rebuild": Case("active", "stopped", "rebuild/", {"os_id": 3}),
    "unsuspend": Case("suspended", "stopped"),
}


@dataclass
class Site:
    """A customer, and an engine that can be made silent."""

    world: World
    simulated: Simulated
    engine: Faulty
    customer: Client
    promised: Any = None  # to the server, before its way begins

    @property
    def context(self) -> Context:
        return Context(self.world.database, self.world.config, {self.world.cell_id: self.engine})

    def silent(self) -> None:
        for verb in VERBS:
            self.engine.fail(verb, times=10**6)

    async def row(self, server: int) -> Any:
        [row] = await self.world.sql(
            "SELECT status, error, look_at, deadline_at FROM server WHERE id = :id", id=server
        )
        return row

    async def settle(self, server: int) -> str:
        """Have converge look until nothing is due; returns the status."""
        began = time.monotonic()
        while (row := await self.row(server)).look_at is not None:
            assert time.monotonic() - began < PATIENCE_S, row
            await converge(self.context, server, patience_s=1)
            await asyncio.sleep(0.01)
        return row.status

    async def time_is_over(self, server: int) -> None:
        await self.world.sql("UPDATE server SET deadline_at = now() WHERE id = :id", id=server)
        await converge(self.context, server, patience_s=0)

    async def a_server(self, status: str) -> int:
        """Return a server that has settled in `status`."""
        number = await self.world.a_server(self.customer, status="provisioning")
        if status == "error":
            await self.time_is_over(number)
        assert await self.settle(number) == ("error" if status == "error" else "active")
        if status == "stopped":
            await self.customer("POST", f"/servers/{number}/stop/")
        if status == "suspended":
            await self.world.sql("UPDATE account SET suspended_at = now(), suspended_reason = 'test'")
            await enforce(self.world.database)
        assert await self.settle(number) == status
        return number

    async def begun(self, kind: str, case: Case) -> int:
        """Bring a server to where a way begins, make the engine silent, and ask for it."""
        if kind == "create":
            self.silent()
            return await self.world.a_server(self.customer, status="provisioning")
        number = await self.a_server(case.begins)
        path, body = f"/servers/{number}/{case.path}", case.body
        if kind == "restore":
            snapshot = (await self.customer("POST", f"/servers/{number}/snapshot/")).json()["id"]
            await snapshots.converge(self.context, snapshot)
            path = f"/snapshots/{snapshot}/restore/"
        self.promised = await self.world.sql(PROMISED)
        self.silent()
        if kind == "unsuspend":
            await self.world.sql("UPDATE account SET suspended_at = NULL")
            await enforce(self.world.database)
        else:
            answer = await self.customer("POST", path, body)
            assert answer.status_code == 200, answer.text
        return number


@pytest.fixture
def _addresses(monkeypatch: pytest.MonkeyPatch, worker_id: str) -> None:
    """Give each of pytest's processes addresses of its own, whose port 22 is the simulated servers'."""
    number = 180 + int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 179
    monkeypatch.setenv("OPENVPS_IPV4_POOL", f"127.{number}.0.0/24")
    monkeypatch.setenv("OPENVPS_STOP_GRACE_S", "1")


@pytest.fixture
async def site(_addresses: None, world: World) -> AsyncGenerator[Site]:
    simulated = Simulated()
    image = await simulated.add_image(Path("simulated"))
    async with world.database.begin() as conn:
        await systems.add_image(conn, cell_id=world.cell_id, system_id=3, fingerprint=image)
    await world.sql("UPDATE plan SET memory_mib = 128, storage_gb = 1, vcpus = 1 WHERE id = 3")
    yield Site(world, simulated, Faulty(simulated), await world.a_client())
    await simulated.close()


def test_every_way_with_a_deadline_has_its_case() -> None:
    timed = {kind for kind, way in TRANSITIONS.items() if way.deadline_s is not None}
    assert timed == set(CASES)
    ended = {TRANSITIONS[kind].meanwhile for kind in timed}
    assert ended == STATUSES - SETTLED - {"deleting"}  # which is tried until it is done


@pytest.mark.parametrize("kind", CASES)
async def test_what_takes_too_long_ends_as_named_and_says_why(site: Site, kind: str) -> None:
    case, way = CASES[kind], TRANSITIONS[kind]
    assert way.failed in {None, case.ends}
    server = await site.begun(kind, case)
    row = await site.row(server)
    assert (row.status, row.deadline_at is not None) == (way.meanwhile, True)
    await converge(site.context, server, patience_s=0)
    assert (await site.row(server)).status == way.meanwhile  # there is time yet
    await site.time_is_over(server)
    row = await site.row(server)  # the engine is as silent as before
    assert (row.status, row.deadline_at) == (case.ends, None)
    shown = (await site.customer("GET", f"/servers/{server}/")).json()
    assert shown["status"] == case.ends
    assert shown["error"] == (GIVEN_UP if case.ends == "error" else None)
    action = (await site.customer("GET", f"/servers/{server}/actions/")).json()["results"][0]
    assert (action["kind"], action["status"], action["error"]) == (f"server.{kind}", "failed", GIVEN_UP)
    site.engine.heal()
    assert await site.settle(server) == case.ends
    if kind != "create":
        assert await site.world.sql(PROMISED) == site.promised
    machine = await site.simulated.look(machine_name(server))
    assert (machine is not None and machine.status == "running") == (case.ends == "active")
    assert await unsound(site.world.database, site.simulated) == []
    assert (await site.customer("DELETE", f"/servers/{server}/")).status_code == 204
    await converge(site.context, server)
    assert await site.world.sql("SELECT 1 FROM server") == []
    assert await unsound(site.world.database, site.simulated) == []
