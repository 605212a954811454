"""Drives converge as a worker would, and tells whether engine and database agree when it is done."""

import asyncio
import time
from dataclasses import dataclass, field

from factories import ED25519, Client, World
from lab import Lab
from openvps.compute.backups import converge as backups
from openvps.compute.servers.context import Context
from openvps.compute.servers.converge import converge
from openvps.compute.servers.names import machine_name
from openvps.compute.snapshots import converge as snapshots
from openvps.compute.systems import queries as systems
from openvps.core.db import Database
from openvps.engine.faulty import Faulty
from openvps.engine.protocol import Engine
from patience import patient
from sound import unsound

PATIENCE_S = 60.0
IDS = 10  # servers a stage may have


@dataclass
class Stage:
    """One customer, one faulty engine; ids of its own, since the engine is shared."""

    world: World
    engine: Faulty
    image: str
    lab: Lab
    first_id: int
    customer: Client = field(init=False)
    made: list[int] = field(default_factory=list[int])

    @property
    def real(self) -> Engine:
        """The engine behind the faulty one, waited for where it is busy."""
        return patient(self.engine.engine)

    async def prepare(self) -> None:
        for table in (
            "server",
            "backup",
        ):  # the engine's machines and images are named after them, and all tests' own
            await self.world.sql(f"ALTER TABLE {table} ALTER COLUMN id RESTART WITH {self.first_id}")
        await self.world.sql("UPDATE plan SET memory_mib = 128, storage_gb = 1, vcpus = 1")
        await self.world.sql("UPDATE plan SET memory_mib = 192, storage_gb = 2, vcpus = 2 WHERE id = 1")
        await self.world.sql("UPDATE plan SET memory_mib = 96 WHERE id = 2")
        async with self.world.database.begin() as conn:
            await systems.add_image(conn, cell_id=self.world.cell_id, system_id=3, fingerprint=self.image)
        self.customer = await self.world.a_client()
        await self.customer("POST", "/ssh-keys/", {"name": "key", "public_key": ED25519})

    def context(self, database: Database | None = None) -> Context:
        return Context(database or self.world.database, self.world.config, {self.world.cell_id: self.engine})

    async def create(self) -> int:
        # With user data the worker also reads the keys in the guest: one more call of the engine that may fail.
        number = await self.world.a_server(self.customer, status="provisioning", user_data="#!/bin/sh\n")
        self.made.append(number)
        return number

    async def a_server(self, status: str) -> int:
        """Return a real server that has settled in `status`."""
        number = await self.create()
        await self.settle(number)
        if status == "stopped":
            await self.customer("POST", f"/servers/{number}/stop/")
            await self.settle(number)
        assert await self.status(number) == status
        return number

    async def settle(self, number: int) -> None:
        """Have converge look, as the sweep would but without its pauses, until nothing is due."""
        began = time.monotonic()
        while await self.due(number):
            assert time.monotonic() - began < PATIENCE_S, await self.told(number)
            await converge(self.context(), number, patience_s=1)
            await asyncio.sleep(0.05)

    async def a_snapshot(self, number: int, *, settled: bool = True) -> int:
        """Ask for a server's snapshot, and have it made."""
        answer = await self.customer("POST", f"/servers/{number}/snapshot/")
        assert answer.status_code == 201, answer.text
        snapshot: int = answer.json()["id"]
        if settled:
            await self.settle_snapshot(snapshot)
        return snapshot

    async def settle_snapshot(self, snapshot: int) -> None:
        """Have the worker look at a snapshot until nothing is due."""
        began = time.monotonic()
        while await self.world.sql("SELECT 1 FROM snapshot WHERE id = :id AND look_at IS NOT NULL", id=snapshot):
            assert time.monotonic() - began < PATIENCE_S
            await snapshots.converge(self.context(), snapshot, patience_s=1)
            await asyncio.sleep(0.05)

    async def a_backup(self, number: int, *, settled: bool = True) -> int:
        """Ask for a server's backup, and have it stored."""
        answer = await self.customer("POST", f"/servers/{number}/backup/")
        assert answer.status_code == 201, answer.text
        backup: int = answer.json()["id"]
        if settled:
            await self.settle_backup(backup)
        return backup

    async def settle_backup(self, backup: int) -> None:
        """Have the worker look at a backup until nothing is due."""
        began = time.monotonic()
        while await self.world.sql("SELECT 1 FROM backup WHERE id = :id AND look_at IS NOT NULL", id=backup):
            assert time.monotonic() - began < PATIENCE_S
            await backups.converge(self.context(), backup)
            await asyncio.sleep(0.05)

    async def restored(self, number: int, backup: int) -> None:
        """Have worker and converge look in turn, as the sweep would, until neither has anything to do."""
        began = time.monotonic()
        while True:
            waits = await self.world.sql("SELECT 1 FROM backup WHERE id = :id AND look_at IS NOT NULL", id=backup)
            due = await self.due(number)
            if not waits and not due:
                return
            assert time.monotonic() - began < PATIENCE_S, await self.told(number)
            if waits:
                await backups.converge(self.context(), backup)
            if due:
                await converge(self.context(), number, patience_s=0)

    async def has(self, number: int, path: str) -> bool:
        """Whether a running server has this file; asked once its guest answers for one that every server has."""
        began = time.monotonic()
        while await self._exists(number, "/root/.ssh/authorized_keys") != 0:
            assert time.monotonic() - began < PATIENCE_S
            await asyncio.sleep(0.05)
        code = await self._exists(number, path)
        assert code in {0, 1}, f"the server couldn't be asked: exit code {code}"
        return code == 0

    async def _exists(self, number: int, path: str) -> int:
        return await self.real.run(machine_name(number), ["test", "-e", path])

    async def write(self, number: int, path: str) -> None:
        assert await self.real.run(machine_name(number), ["touch", path]) == 0

    async def due(self, number: int) -> bool:
        return bool(await self.world.sql("SELECT 1 FROM server WHERE id = :id AND look_at IS NOT NULL", id=number))

    async def told(self, number: int) -> str:
        return str(await self.world.sql("SELECT status, wanted, error FROM server WHERE id = :id", id=number))

    async def status(self, number: int) -> str | None:
        answer = await self.customer("GET", f"/servers/{number}/")
        return answer.json()["status"] if answer.status_code == 200 else None

    async def agree(self, number: int, status: str) -> None:
        """Check that the server is `status` in every respect, and that nothing is left half done."""
        assert await self.status(number) == status, await self.told(number)
        machine = await self.real.look(machine_name(number))
        assert machine is not None
        assert machine.status == {"active": "running"}.get(status, "stopped")
        assert await self.world.sql("SELECT kind FROM action WHERE finished_at IS NULL") == []
        held = await self.world.sql("SELECT count(*) FROM address WHERE server_id = :id", id=number)
        assert held == [(2,)]

    async def at_its_engine(self) -> None:
        """Have real workers find this stage's engine where it is."""
        await self.world.sql(
            "UPDATE cell SET socket = :socket, project = :project, pool = :pool",
            socket=self.lab.socket,
            project=self.lab.project,
            pool=self.lab.pool,
        )
        await self.world.sql("DELETE FROM procrastinate_jobs")  # of what converge did in this process

    async def at_rest(self, *, within_s: float) -> None:
        """Wait until somebody else, a real worker, has nothing left to do."""
        began = time.monotonic()
        while left := await self.world.sql("SELECT id, status FROM server WHERE look_at IS NOT NULL"):
            assert time.monotonic() - began < within_s, left
            await asyncio.sleep(0.1)

    async def unsound(self) -> list[str]:
        """Return what of engine and database doesn't agree."""
        return await unsound(self.world.database, self.real, ours=range(self.first_id, self.first_id + IDS))

    async def nothing_left(self, number: int) -> None:
        """Check that neither engine nor database knows anything of a deleted server."""
        assert await self.real.look(machine_name(number)) is None
        for table in ("server", "usage"):
            key = "id" if table == "server" else "server_id"
            assert await self.world.sql(f"SELECT 1 FROM {table} WHERE {key} = :id", id=number) == []
        assert await self.world.sql("SELECT 1 FROM address WHERE server_id IS NOT NULL") == []
        assert await self.world.sql("SELECT 1 FROM ledger_hold") == []
        assert await self.world.sql("SELECT used_vcpus, used_memory_mib, used_storage_gb FROM cell") == [(0, 0, 0)]
        assert await self.world.sql("SELECT kind FROM action WHERE finished_at IS NULL") == []

    async def clear(self) -> None:
        for number in self.made:
            await self.customer("DELETE", f"/servers/{number}/")
            await self.settle(number)
            assert await self.real.look(machine_name(number)) is None
