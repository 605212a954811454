"""The engine fails at each call in turn, before and after it took effect: every goal is reached all the same."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from stage import Stage

from openvps.billing.charge import Terms, charge
from openvps.compute.servers.converge import converge
from openvps.core.db import Database
from openvps.engine.protocol import EngineError

pytestmark = [pytest.mark.anyio, pytest.mark.live]

GOALS: dict[str, tuple[str | None, str | None, tuple[str, ...]]] = {
    # goal: status before, status after, the engine's verbs on the way
    "create": (None, "active", ("look", "create", "read_file")),
    "start": ("stopped", "active", ("look", "start")),
    "stop": ("active", "stopped", ("look", "stop")),
    "reboot": ("active", "active", ("look", "stop", "mark", "start")),
    "hard_stop": ("active", "stopped", ("look", "kill")),
    "grow": ("active", "active", ("look", "configure")),
    "shrink": ("active", "active", ("look", "stop", "mark", "configure", "start")),
    "restore": ("active", "active", ("look", "stop", "mark", "restore", "renew", "start")),
    "restore_stopped": ("stopped", "stopped", ("look", "mark", "restore", "renew")),
    "rebuild": ("active", "active", ("look", "stop", "mark", "rebuild", "renew", "start", "read_file")),
    "rename": ("active", "active", ("look", "configure")),
    "password": ("active", "active", ("look", "run", "mark")),
    "delete": ("active", None, ("look", "kill", "delete", "forget_address")),
}
SIZES = {"grow": (2, 192, 2), "shrink": (1, 96, 1), "restore": (2, 192, 2), "restore_stopped": (2, 192, 2)}
READS = ("look", "read_file")  # they have no effect, after which they could fail
CASES = [
    pytest.param(goal, verb, before, id=f"{goal}-{verb}-{'before' if before else 'after'}")
    for goal, (_, _, verbs) in GOALS.items()
    for verb in verbs
    for before in ((True,) if verb in READS else (True, False))
]


async def begin(stage: Stage, goal: str) -> int:
    """Bring a server to where the goal begins, and ask for it."""
    before = GOALS[goal][0]
    if before is None:
        return await stage.create()
    number = await stage.a_server(before)
    if goal.startswith("restore"):
        await to_be_restored(stage, number, running=before == "active")
        return number
    if goal == "rebuild":
        await stage.write(number, "/root/old")
    asked: dict[str, tuple[str, str, Any]] = {
        "rename": ("PATCH", "", {"hostname": "other.example.com"}),
        "hard_stop": ("POST", "power/", {"action": "hard_stop"}),
        "grow": ("POST", "resize/", {"plan": 1}),
        "shrink": ("POST", "resize/", {"plan": 2}),
        "rebuild": ("POST", "rebuild/", {"os_id": 3}),
        "password": ("POST", "reset-password/", None),
        "delete": ("DELETE", "", None),
    }
    method, path, body = asked.get(goal, ("POST", f"{goal}/", None))
    answer = await stage.customer(method, f"/servers/{number}/{path}", body)
    assert answer.status_code in {200, 204}, answer.text
    return number


async def to_be_restored(stage: Stage, number: int, *, running: bool) -> None:
    """Have a snapshot taken between two writes, the size changed, and ask for what was."""
    if running:
        await stage.write(number, "/root/kept")
    snapshot = await stage.a_snapshot(number)
    if running:
        await stage.write(number, "/root/lost")
    await stage.customer("POST", f"/servers/{number}/resize/", {"plan": 1})
    await stage.settle(number)
    assert (await stage.customer("POST", f"/snapshots/{snapshot}/restore/")).status_code == 200


async def reached(stage: Stage, goal: str, number: int) -> None:
    """Check that the goal was reached, once and wholly."""
    after = GOALS[goal][1]
    if after is None:
        await stage.nothing_left(number)
    else:
        await stage.agree(number, after)
    kinds = await stage.world.sql("SELECT kind, status FROM action WHERE subject_id = :id", id=number)
    assert {status for _, status in kinds} == {"completed"}
    if goal == "rebuild":
        assert not await stage.has(number, "/root/old")
    if goal == "restore":
        assert await stage.has(number, "/root/kept")
        assert not await stage.has(number, "/root/lost")
    if goal in SIZES:
        machine = await stage.real.look(f"vps-{number}")
        assert machine is not None
        assert (machine.vcpus, machine.memory_mib, machine.storage_gb) == SIZES[goal]
        vcpus, memory_mib, storage_gb = SIZES[goal]
        if goal.startswith("restore"):
            storage_gb += 1  # the snapshot's room, of a server that had so much then
        used = await stage.world.sql("SELECT used_vcpus, used_memory_mib, used_storage_gb FROM cell")
        assert used == [(vcpus, memory_mib, storage_gb)]
    if goal == "rename":
        machine = await stage.real.look(f"vps-{number}")
        assert machine is not None
        assert machine.hostname == "other.example.com"


@pytest.mark.parametrize(("goal", "verb", "before"), CASES)
async def test_a_goal_is_reached_although_a_call_fails(stage: Stage, goal: str, verb: str, *, before: bool) -> None:
    number = await begin(stage, goal)
    stage.engine.calls.clear()
    stage.engine.fail(verb, before=before)
    await stage.settle(number)
    assert stage.engine.calls[verb] >= 1
    await reached(stage, goal, number)


@pytest.mark.parametrize("goal", GOALS)
async def test_a_goal_is_reached_although_every_call_fails_once_with_an_error(stage: Stage, goal: str) -> None:
    number = await begin(stage, goal)
    for verb in GOALS[goal][2]:
        stage.engine.fail(verb, before=True, error=EngineError("refused for once"))
    await stage.settle(number)
    await reached(stage, goal, number)


class Killed(BaseException):
    """What a process feels of SIGKILL: nothing runs after it."""


class Mortal(Database):
    """A database whose process dies right before or right after its n-th commit."""

    def __init__(self, conninfo: str, *, dies_at: int, before: bool) -> None:
        super().__init__(conninfo)
        self._left, self._before = dies_at, before
        plain = self._engine.begin

        def begin() -> Any:
            return _Dying(plain(), self)

        self.__dict__["begin"] = begin

    def strike(self, *, before: bool) -> None:
        if before:
            self._left -= 1
        if self._left == 0 and before == self._before:
            raise Killed


class _Dying:
    def __init__(self, inner: Any, mortal: Mortal) -> None:
        self._inner, self._mortal = inner, mortal

    async def __aenter__(self) -> Any:
        return await self._inner.__aenter__()

    async def __aexit__(self, *error: object) -> Any:
        try:
            self._mortal.strike(before=True)
        except Killed as killed:
            await self._inner.__aexit__(Killed, killed, None)
            raise
        result = await self._inner.__aexit__(*error)
        self._mortal.strike(before=False)
        return result


@pytest.mark.parametrize("goal", ["create", "stop", "reboot", "shrink", "restore", "rebuild", "delete"])
async def test_a_worker_that_dies_at_each_commit_in_turn_loses_nothing(stage: Stage, goal: str) -> None:
    url = stage.world.config.database_url
    assert url is not None
    number = await begin(stage, goal)
    deaths = 0
    for commit in range(1, 40):
        for before in (True, False):
            if not await stage.due(number):
                break
            mortal = Mortal(url, dies_at=commit, before=before)
            try:
                await converge(stage.context(mortal), number, patience_s=1)
            except Killed:
                deaths += 1
            finally:
                await mortal.close()
            await asyncio.sleep(0.02)
    assert deaths >= 3
    await stage.settle(number)
    await reached(stage, goal, number)


@pytest.mark.parametrize("goal", GOALS)
async def test_a_goal_reached_twice_is_reached(stage: Stage, goal: str) -> None:
    """Run converge twice at once, as when a worker that was thought dead still lives."""
    number = await begin(stage, goal)
    await asyncio.gather(
        *(converge(stage.context(), number, patience_s=30) for _ in range(2)), return_exceptions=False
    )
    await stage.settle(number)
    await reached(stage, goal, number)


async def test_a_create_past_its_deadline_is_an_error_switched_off_and_gives_its_credit_back(stage: Stage) -> None:
    number = await stage.create()
    stage.engine.fail("read_file", times=1000)
    await converge(stage.context(), number, patience_s=1)
    assert await stage.status(number) == "provisioning"
    assert await stage.world.sql("SELECT progress FROM action") == [(75,)]  # it boots, and was said to
    assert await stage.world.sql("SELECT count(*) FROM ledger_hold") == [(1,)]
    await stage.world.sql("UPDATE server SET deadline_at = now()")
    await stage.settle(number)
    body = (await stage.customer("GET", f"/servers/{number}/")).json()
    assert body["status"] == "error"
    assert body["error"]
    await stage.agree(number, "error")
    assert await stage.world.sql("SELECT 1 FROM ledger_hold") == []
    assert await stage.world.sql("SELECT status FROM action") == [("failed",)]
    # Who keeps a server from getting ready, by closing port 22 for example, has had it: its hour is charged.
    [(begun,)] = await stage.world.sql("SELECT started_at FROM meter")
    await charge(stage.world.database, Terms(0), at=begun + timedelta(hours=50))
    charged = await stage.world.sql("SELECT at, amount_micro < 0 FROM ledger_entry WHERE kind = 'hour'")
    assert [tuple(row) for row in charged] == [(begun, True)]


async def test_a_resize_past_its_deadline_puts_back_what_was_promised_and_is_never_charged(stage: Stage) -> None:
    number = await stage.a_server("active")
    promised = "SELECT plan_id, vcpus, memory_mib, storage_gb, price_monthly_micro FROM server"
    before = await stage.world.sql(promised)
    [(begun,)] = await stage.world.sql("SELECT started_at FROM meter")
    price, terms = before[0][4], Terms(10**9)
    await charge(stage.world.database, terms, at=begun)
    [(held,)] = await stage.world.sql("SELECT amount_micro FROM ledger_hold")
    await stage.customer("POST", f"/servers/{number}/resize/", {"plan": 1})
    stage.engine.fail("configure", times=2, error=EngineError("refused"))
    await converge(stage.context(), number, patience_s=1)
    await charge(stage.world.database, terms, at=begun + timedelta(hours=1))  # it takes longer than an hour
    await stage.world.sql("UPDATE server SET deadline_at = now()")
    await stage.settle(number)
    await stage.agree(number, "active")
    assert await stage.world.sql(promised) == before
    assert await stage.world.sql("SELECT used_vcpus, used_memory_mib, used_storage_gb FROM cell") == [(1, 128, 1)]
    told = await stage.world.sql("SELECT status, error FROM action WHERE kind = 'server.resize'")
    assert told == [("failed", "It took too long and was given up.")]
    assert await stage.world.sql("SELECT price_monthly_micro, ends_at FROM rate_period") == [(price, None)]
    hours = "SELECT -amount_micro FROM ledger_entry WHERE kind = 'hour' ORDER BY at"
    [_, (meanwhile,)] = await stage.world.sql(hours)
    assert await stage.world.sql("SELECT amount_micro FROM ledger_hold") == [(held - meanwhile,)]
    await charge(stage.world.database, terms, at=begun + timedelta(hours=3))
    assert {row[0] for row in await stage.world.sql(hours)} <= {price // 672, price // 672 + 1}


async def test_a_resize_is_charged_from_the_next_hour_after_it_is_done_on(stage: Stage) -> None:
    number = await stage.a_server("active")
    await stage.customer("POST", f"/servers/{number}/resize/", {"plan": 1})
    rated = "SELECT price_monthly_micro, begins_at FROM rate_period ORDER BY begins_at"
    assert len(await stage.world.sql(rated)) == 1
    await stage.world.sql("UPDATE meter SET started_at = started_at - interval '150 minutes'")  # of its life
    await stage.world.sql("UPDATE rate_period SET begins_at = begins_at - interval '150 minutes'")
    await stage.settle(number)
    [old, new] = await stage.world.sql(rated)
    assert new.begins_at - old.begins_at == timedelta(hours=3)
    assert old.price_monthly_micro < new.price_monthly_micro
    assert await stage.world.sql("SELECT price_monthly_micro FROM server") == [(new.price_monthly_micro,)]


async def test_delete_in_the_middle_of_a_resize_leaves_nothing(stage: Stage) -> None:
    number = await stage.a_server("active")
    await stage.customer("POST", f"/servers/{number}/resize/", {"plan": 2})
    await converge(stage.context(), number, patience_s=0)
    assert (await stage.customer("DELETE", f"/servers/{number}/")).status_code == 204
    await stage.settle(number)
    await stage.nothing_left(number)


async def test_cutting_the_power_in_the_middle_of_a_stop_is_at_once(stage: Stage) -> None:
    number = await stage.a_server("active")
    await stage.customer("POST", f"/servers/{number}/stop/")
    await converge(stage.context(), number, patience_s=0)
    assert (await stage.customer("POST", f"/servers/{number}/power/", {"action": "hard_stop"})).status_code == 200
    await stage.settle(number)
    await stage.agree(number, "stopped")
    told = await stage.world.sql("SELECT kind, status FROM action WHERE kind <> 'server.create' ORDER BY id")
    assert told == [("server.stop", "cancelled"), ("server.hard_stop", "completed")]


async def test_credit_of_a_failed_create_is_held_until_the_machine_is_off(stage: Stage) -> None:
    number = await stage.create()
    stage.engine.fail("read_file", times=1000)
    await converge(stage.context(), number, patience_s=1)
    await stage.world.sql("UPDATE server SET deadline_at = now()")
    stage.engine.fail("kill", times=3)
    for _ in range(3):
        await converge(stage.context(), number, patience_s=0)
        assert await stage.world.sql("SELECT count(*) FROM ledger_hold") == [(1,)]
    await stage.settle(number)
    assert await stage.world.sql("SELECT 1 FROM ledger_hold") == []


async def test_a_machine_that_vanished_is_an_error_and_not_made_anew(stage: Stage) -> None:
    number = await stage.a_server("active")
    await stage.real.kill(f"vps-{number}")
    await stage.real.delete(f"vps-{number}")
    stage.engine.calls.clear()
    await stage.world.sql("UPDATE server SET look_at = now()")
    await stage.settle(number)
    assert await stage.status(number) == "error"
    assert stage.engine.calls["create"] == 0


async def test_delete_in_the_middle_of_a_create_leaves_nothing(stage: Stage) -> None:
    number = await stage.create()
    creating = asyncio.create_task(converge(stage.context(), number, patience_s=30))
    await asyncio.sleep(0.1)
    assert (await stage.customer("DELETE", f"/servers/{number}/")).status_code == 204
    await creating
    await stage.settle(number)
    await stage.nothing_left(number)


async def test_a_guest_without_the_program_fails_the_password_alone(stage: Stage) -> None:
    number = await stage.a_server("active")
    assert await stage.real.run(f"vps-{number}", ["rm", "/bin/chpasswd"]) == 0
    await stage.customer("POST", f"/servers/{number}/reset-password/")
    await stage.settle(number)
    await stage.agree(number, "active")
    told = await stage.world.sql("SELECT status, error FROM action WHERE kind = 'server.reset_password'")
    assert told == [("failed", "The server's own system refused the new password.")]
