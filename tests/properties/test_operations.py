"""Random operations by several customers at once against a model; a real PostgreSQL, a faulty SIMULATED engine.

The model knows what was asked for and answered, and so what may become of each server. Between any two steps no rule
of the database may be broken; at the end of each story, when the engine's faults are over, everything must be at
rest, as the model has it, and the installation sound.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from factories import Client, World
from openvps.app import create_app
from openvps.compute.servers import watch
from openvps.compute.servers.context import Context
from openvps.compute.servers.converge import converge
from openvps.compute.servers.names import machine_name
from openvps.compute.servers.states import TRANSITIONS
from openvps.compute.snapshots import converge as snapshots
from openvps.compute.systems import queries as systems
from openvps.core import settings as configuration
from openvps.core.db import Connection, Database
from openvps.engine.faulty import Faulty
from openvps.engine.protocol import Away, Busy, EngineError
from simulated import Simulated
from sound import ALWAYS, audited, broken, unsound

STEPS = int(os.environ.get("OPENVPS_TEST_STEPS", "120"))
A_STORY = 40
CUSTOMERS = 3
NUMBERS, STORIES = count(), count(1)
FAULTS = (
    "look",
    "create",
    "configure",
    "mark",
    "start",
    "stop",
    "kill",
    "delete",
    "read_file",
    "snapshot",
    "renew",
    "restore",
    "rebuild",
    "delete_snapshot",
    "forget_address",
    "run",
)
ERRORS = {"away": Away, "busy": Busy, "refused": EngineError}
LEVELS = {
    "create": "active",
    "start": "active",
    "stop": "stopped",
    "hard_stop": "stopped",
    "reboot": "active",
    "rebuild": "active",
}
UNDER_WAY = (
    "SELECT 1 FROM server WHERE look_at IS NOT NULL UNION ALL SELECT 1 FROM snapshot WHERE look_at IS NOT NULL"
)
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = %s"
BEGAN = time.monotonic()
servers = st.integers(0, 11)  # of those that there are, counted round
customers = st.integers(0, CUSTOMERS - 1)


class Killed(BaseException):
    """What a process feels of SIGKILL."""


@dataclass
class Known:
    """A server as the model knows it: whose it is, and in which statuses it may come to rest."""

    owner: int
    ends: set[str]
    snapshots: list[int] = field(default_factory=list[int])


class Operations(RuleBasedStateMachine):
    """The rules; `template` is the URL of a migrated database."""

    def __init__(self, template: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.known: dict[int, Known] = {}
        self.admin = template.replace("/template?", "/postgres?")
        self.name = f"story_{os.getpid()}_{next(NUMBERS)}"
        with psycopg.connect(self.admin, autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {self.name} TEMPLATE template".encode())
        self.url = template.replace("/template?", f"/{self.name}?")
        os.environ["OPENVPS_DATABASE_URL"] = self.url
        configuration.load.cache_clear()
        self.runner.run(self._open())

    async def _open(self) -> None:
        database = Database(self.url, pool_size=10)
        app = create_app()
        await self.stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        http = await self.stack.enter_async_context(
            httpx2.AsyncClient(transport=transport, base_url="http://api.test/api/v1")
        )
        self.world = World(database, configuration.load(), http, app)
        await self.world.prepare()
        await self.world.sql("UPDATE plan SET memory_mib = 128, storage_gb = 1, vcpus = 1")
        await self.world.sql("UPDATE plan SET memory_mib = 192, storage_gb = 2, vcpus = 2 WHERE id = 1")
        self.simulated = Simulated()
        fingerprint = await self.simulated.add_image(Path("simulated"))
        self.engine = Faulty(self.simulated)
        async with database.begin() as conn:
            await conn.exec_driver_sql("DELETE FROM image")  # no engine has it
            await systems.add_image(conn, cell_id=self.world.cell_id, system_id=3, fingerprint=fingerprint)
        self.customers: list[Client] = [await self.world.a_client() for _ in range(CUSTOMERS)]

    def context(self) -> Context:
        return Context(self.world.database, self.world.config, {self.world.cell_id: self.engine})

    # what customers do

    @initialize()
    def begin(self) -> None:
        self.create(0)

    @rule(who=customers)
    def create(self, who: int) -> None:
        body = {"name": "web-1", "plan_id": 3, "os_id": 3, "location": "us-west"}
        key = {"Idempotency-Key": f"create-{next(NUMBERS)}"}
        answers = self.runner.run(
            self._together(*(self.customers[who]("POST", "/servers/", body, headers=key) for _ in range(2)))
        )
        made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
        assert len(made) == 1, [answer.text for answer in answers]  # the other one is a replay, or told to wait
        assert {answer.status_code for answer in answers} <= {201, 409}
        self.known[made.pop()] = Known(who, {"active"})

    @precondition(lambda self: self.known)
    @rule(
        which=servers,
        kinds=st.lists(
            st.sampled_from(["start", "stop", "reboot", "hard_stop", "rebuild", "resize"]), min_size=1, max_size=3
        ),
    )
    def power(self, which: int, kinds: list[str]) -> None:
        """Ask for one or several things at the same moment: at most one way is taken at a time."""
        number, server = self._of(which)
        before = self.runner.run(self._status(number))
        answers = self.runner.run(self._together(*(self._ask(number, kind) for kind in kinds)))
        taken = [kind for kind, answer in zip(kinds, answers, strict=True) if answer.status_code == 200]
        for answer in answers:
            assert answer.status_code in {200, 400}, answer.text
        allowed = [kind for kind in kinds if before in TRANSITIONS[kind].allowed]
        assert bool(taken) <= bool(allowed) or "hard_stop" in kinds
        exclusive = [kind for kind in taken if kind != "hard_stop"]
        assert len(exclusive) <= 1
        if taken and "hard_stop" not in taken:
            level = LEVELS.get(taken[0])
            server.ends = {level} if level else server.ends
        elif taken:
            server.ends = {"stopped"} | ({LEVELS.get(one, "stopped") for one in exclusive} if exclusive else set())
        if server.snapshots and "rebuild" in taken:
            pytest.fail("a server with snapshots was rebuilt")

    @precondition(lambda self: self.known)
    @rule(which=servers)
    def delete(self, which: int) -> None:
        number, server = self._of(which)
        answers = self.runner.run(self._together(*(self._request(number, "DELETE", "") for _ in range(2))))
        assert sorted(answer.status_code for answer in answers) == [204, 404]
        assert self.runner.run(self._status(number)) is None
        del self.known[number]
        assert server.owner >= 0

    @precondition(lambda self: self.known)
    @rule(which=servers)
    def snapshot(self, which: int) -> None:
        number, server = self._of(which)
        answer = self.runner.run(self._request(number, "POST", "snapshot/"))
        assert answer.status_code in {201, 400}, answer.text
        if answer.status_code == 201:
            server.snapshots.append(answer.json()["id"])

    @precondition(lambda self: any(one.snapshots for one in self.known.values()))
    @rule(which=servers, forget=st.booleans())
    def use_snapshot(self, which: int, *, forget: bool) -> None:
        having = [number for number, one in sorted(self.known.items()) if one.snapshots]
        number = having[which % len(having)]
        server = self.known[number]
        snapshot = server.snapshots[0]
        customer = self.customers[server.owner]
        if forget:
            answer = self.runner.run(customer("DELETE", f"/snapshots/{snapshot}/"))
            assert answer.status_code in {204, 400}, answer.text
            if answer.status_code == 204:
                server.snapshots.remove(snapshot)
        else:
            answer = self.runner.run(customer("POST", f"/snapshots/{snapshot}/restore/"))
            assert answer.status_code in {200, 400}, answer.text

    @precondition(lambda self: self.known)
    @rule(which=servers)
    def rename(self, which: int) -> None:
        number, _ = self._of(which)
        answer = self.runner.run(self._request(number, "PATCH", "", {"hostname": f"h{next(NUMBERS)}.example.com"}))
        assert answer.status_code in {200, 400}, answer.text

    @precondition(lambda self: self.known)
    @rule(which=servers, who=customers)
    def others_see_nothing(self, which: int, who: int) -> None:
        number, server = self._of(which)
        if who != server.owner:
            for method, path in (("GET", ""), ("POST", "stop/"), ("DELETE", "")):
                answer = self.runner.run(self.customers[who](method, f"/servers/{number}/{path}"))
                assert answer.status_code == 404

    # what happens to them

    @rule(
        verb=st.sampled_from(FAULTS),
        before=st.booleans(),
        error=st.sampled_from(sorted(ERRORS)),
        times=st.integers(1, 3),
    )
    def the_engine_will_fail(self, verb: str, error: str, times: int, *, before: bool) -> None:
        self.engine.fail(verb, before=before, error=ERRORS[error]("told to fail"), times=times)

    @rule(at=st.integers(1, 4), before=st.booleans())
    def a_worker_dies(self, at: int, *, before: bool) -> None:
        """Have it look at everything that is due, and die at a commit."""
        self.runner.run(self._worker(dies_at=at, before=before))

    @rule()
    def a_worker_looks(self) -> None:
        self.runner.run(self._worker())

    @rule()
    def two_workers_look(self) -> None:
        self.runner.run(self._together(self._worker(), self._worker(snapshots_too=False)))

    @rule()
    def the_cell_is_looked_at(self) -> None:
        self.runner.run(self._look_at_cell())

    @precondition(lambda self: self.known)
    @rule(which=servers)
    def it_is_shut_down_from_inside(self, which: int) -> None:
        number, server = self._of(which)
        if self.runner.run(self._power_off(number)):
            server.ends |= {"stopped", "active"}

    @precondition(lambda self: self.known)
    @rule(which=servers)
    def its_deadline_passes(self, which: int) -> None:
        number, server = self._of(which)
        rows = self.runner.run(
            self.world.sql(
                "UPDATE server SET deadline_at = now() WHERE id = :id AND deadline_at IS NOT NULL RETURNING id",
                id=number,
            )
        )
        if rows:
            server.ends |= {"error", "stopped", "active"}

    # what must hold

    @invariant()
    def no_rule_is_broken(self) -> None:
        assert self.runner.run(broken(self.world.database, ALWAYS)) == []

    def teardown(self) -> None:
        try:
            self.runner.run(self._end())
        finally:
            self.runner.run(self.stack.aclose())
            self.runner.run(self.simulated.close())
            self.runner.run(self.world.database.close())
            self.runner.close()
            with psycopg.connect(self.admin, autocommit=True) as conn:
                [deadlocks] = conn.execute(DEADLOCKS, (self.name,)).fetchone() or (0,)
                conn.execute(f"DROP DATABASE {self.name} WITH (FORCE)".encode())
        assert deadlocks == 0, "PostgreSQL ended transactions that waited for each other"
        _progress()

    async def _end(self) -> None:
        self.engine.heal()
        for _ in range(60):
            await self._worker()
            await watch.look_at_cell(self.context(), self.world.cell_id)
            if not await self.world.sql(UNDER_WAY):
                break
            await asyncio.sleep(0.05)
        assert await unsound(self.world.database, self.simulated) == []
        assert await audited(self.world.database, self.world.config, {self.world.cell_id: self.simulated}) == []
        found = {row.id: row.status for row in await self.world.sql("SELECT id, status FROM server")}
        assert set(found) == set(self.known)
        for number, server in self.known.items():
            assert found[number] in server.ends, f"server {number} is {found[number]}, and may be {server.ends}"

    # how it is done

    def _of(self, which: int) -> tuple[int, Known]:
        number = sorted(self.known)[which % len(self.known)]
        return number, self.known[number]

    async def _together(self, *work: Any) -> list[Any]:
        return list(await asyncio.gather(*work))

    async def _request(self, number: int, method: str, path: str, body: Any = None) -> httpx2.Response:
        return await self.customers[self.known[number].owner](method, f"/servers/{number}/{path}", body)

    async def _ask(self, number: int, kind: str) -> httpx2.Response:
        if kind == "resize":
            [(plan,)] = await self.world.sql("SELECT plan_id FROM server WHERE id = :id", id=number)
            return await self._request(number, "POST", "resize/", {"plan": 1 if plan != 1 else 3})
        bodies = {"hard_stop": ("power/", {"action": "hard_stop"}), "rebuild": ("rebuild/", {"os_id": 3})}
        path, body = bodies.get(kind, (f"{kind}/", None))
        return await self._request(number, "POST", path, body)

    async def _power_off(self, number: int) -> bool:
        try:
            return await self.simulated.run(machine_name(number), ["poweroff"]) == 0
        except EngineError:
            return False  # it isn't there, or doesn't run

    async def _status(self, number: int) -> str | None:
        answer = await self._request(number, "GET", "")
        return answer.json()["status"] if answer.status_code == 200 else None

    async def _worker(self, *, dies_at: int = 0, before: bool = True, snapshots_too: bool = True) -> None:
        context = self.context()
        if dies_at:
            context = Context(_mortal(self.world.database, dies_at, before=before), context.settings, context.engines)
        due = [row.id for row in await self.world.sql("SELECT id FROM server WHERE look_at IS NOT NULL ORDER BY id")]
        kept = [
            row.id for row in await self.world.sql("SELECT id FROM snapshot WHERE look_at IS NOT NULL ORDER BY id")
        ]
        try:
            for number in due:
                await converge(context, number, patience_s=0.3)
            for number in kept if snapshots_too else ():  # a server's lock is its snapshots' too
                await snapshots.converge(context, number, patience_s=0.3)
        except Killed:
            return

    async def _look_at_cell(self) -> None:
        await watch.look_at_cell(self.context(), self.world.cell_id)


def _progress() -> None:
    """In a bench, say how far it is: on the terminal, which pytest leaves alone."""
    stories, of = next(STORIES), max(1, STEPS // A_STORY)
    if of > A_STORY and stories % 10 == 0:
        took = time.monotonic() - BEGAN
        left = took / stories * max(0, of - stories) / 60
        os.write(2, f"{stories} of about {of} stories in {took / 60:.1f} min, {left:.0f} min left\n".encode())


def _mortal(database: Database, dies_at: int, *, before: bool) -> Database:
    """Return the database of a worker that dies at one of its commits."""
    return Mortal(database, dies_at, before=before)


class Mortal(Database):
    """Begins transactions on another's pool, and dies at one of its commits."""

    def __init__(self, pool: Database, left: int, *, before: bool) -> None:
        self._pool, self._left, self._before = pool, left, before
        self.__dict__["begin"] = self._begin

    @asynccontextmanager
    async def _begin(self) -> AsyncGenerator[Connection]:
        async with self._pool.begin() as conn:
            yield conn
            self._left -= 1
            if self._left == 0 and self._before:
                raise Killed
        if self._left == 0:
            raise Killed


def test_any_operations_in_any_order_leave_everything_as_the_model_has_it(
    template_url: str, monkeypatch: pytest.MonkeyPatch, worker_id: str
) -> None:
    number = 100 + int(worker_id.removeprefix("gw")) if worker_id != "master" else 99
    for name, value in {
        "DATABASE_URL": "set by each story",
        "CONTAINER_PLANS": "everyone",
        "CONFIG": "/nonexistent",
        "IPV4_POOL": f"127.{number}.0.0/24",  # whose port 22 is the simulated servers'
        "ADDRESS_REST_S": "0",
        "STOP_GRACE_S": "1",
        "RATE_LIMIT": "0",
    }.items():
        monkeypatch.setenv(f"OPENVPS_{name}", value)
    monkeypatch.setattr(watch, "REBOOTS_S", 0.0)
    run_state_machine_as_test(
        lambda: Operations(template_url),  # pyright: ignore[reportArgumentType] -- it may be any factory, says its docstring
        settings=settings(
            max_examples=max(1, STEPS // A_STORY),
            stateful_step_count=A_STORY,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        ),
    )
    configuration.load.cache_clear()
