"""On a real engine: a failed create is tried again from nothing; creates that wait for their turn are all made."""

import asyncio

import pytest
from stage import Stage

from openvps.compute.consistency.look import check
from openvps.compute.servers.converge import converge
from openvps.engine.protocol import EngineError

pytestmark = [pytest.mark.anyio, pytest.mark.live]


async def fail(stage: Stage, number: int) -> None:
    """Have a create's time end while its machine is there, and the machine turned off."""
    stage.engine.fail("read_file", times=1000)
    await converge(stage.context(), number, patience_s=1)
    await stage.world.sql("UPDATE server SET deadline_at = now() WHERE id = :id", id=number)
    await stage.settle(number)
    await stage.agree(number, "error")
    stage.engine.heal()


async def test_what_a_failed_create_left_is_removed_and_a_retry_makes_it_anew(stage: Stage) -> None:
    number = await stage.create()
    await fail(stage, number)
    assert await stage.world.sql("SELECT 1 FROM ledger_hold") == []
    answer = await stage.customer("POST", f"/servers/{number}/retry/")
    assert answer.status_code == 200, answer.text
    stage.engine.calls.clear()
    await stage.settle(number)
    await stage.agree(number, "active")
    assert (stage.engine.calls["delete"], stage.engine.calls["create"]) == (1, 1)
    assert await stage.world.sql("SELECT count(*) FROM ledger_hold") == [(1,)]
    found = (await check(stage.context(), between_s=0.1)).left.findings  # other tests share the project
    assert [one for one in found if str(number) in one.subject] == []


@pytest.mark.parametrize("verb", ["look", "kill", "delete", "create"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_a_retry_gets_there_although_a_call_fails(stage: Stage, verb: str, *, before: bool) -> None:
    number = await stage.create()
    await fail(stage, number)
    await stage.customer("POST", f"/servers/{number}/retry/")
    stage.engine.fail(verb, before=before, error=EngineError("refused for once"))
    await stage.settle(number)
    await stage.agree(number, "active")


async def test_all_of_those_that_wait_are_made_one_after_the_other(stage: Stage) -> None:
    await stage.world.sql("UPDATE cell SET creates_at_once = 1")
    numbers = [await stage.create() for _ in range(3)]

    async def at_once() -> int:
        found = await stage.world.sql(
            "SELECT count(*) FROM server WHERE status = 'provisioning' AND admitted_at IS NOT NULL"
        )
        return found[0][0]

    seen: set[int] = set()
    while await stage.world.sql("SELECT 1 FROM server WHERE status = 'provisioning'"):
        for number in numbers:
            await converge(stage.context(), number, patience_s=0)
            seen.add(await at_once())
        await asyncio.sleep(0.05)
    assert max(seen) == 1
    assert [await stage.status(number) for number in numbers] == ["active"] * 3
