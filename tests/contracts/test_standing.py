"""An account's credit and standing, and its servers that follow it; the clock of the standing is an argument."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from factories import Client, World
from openvps.billing.charge import Terms, charge
from openvps.billing.standing import set_standing
from openvps.compute.servers.suspension import enforce
from openvps.core.clock import now
from openvps.core.settings import Settings

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
BODY = {"name": "web-2", "plan_id": 3, "os_id": 3, "location": "us-west"}


def terms(world: World, **changed: int) -> Settings:
    return world.config.model_copy(update=changed)


async def credit(world: World, client: Client, amount: Any, **fields: Any) -> Any:
    operator = await world.a_client(operator=True, permissions=("*:*", "accounts:*"))
    body = {"amount": amount, **fields}
    return await operator("POST", f"/admin/accounts/{client.account_id}/credit/", body)


async def use_up(world: World, client: Client) -> None:
    [(total,)] = await world.sql("SELECT amount_micro FROM ledger_total WHERE account_id = :a", a=client.account_id)
    answer = await credit(world, client, f"-{total / 1e6:.6f}", adjustment=True, reason="spent")
    assert answer.status_code == 201, answer.text
    assert answer.json()["balance"] == 0


async def statuses(world: World) -> list[str]:
    return [row[0] for row in await world.sql("SELECT status FROM server ORDER BY id")]


async def told(world: World, client: Client) -> list[str]:
    rows = await world.sql("SELECT kind FROM notice WHERE account_id = :a ORDER BY id", a=client.account_id)
    return [row[0] for row in rows]


async def turn(world: World, at: Any = None, **changed: int) -> None:
    await set_standing(world.database, terms(world, **changed), at=at)
    await enforce(world.database)


async def test_out_of_credit_is_told_then_suspended_then_as_before_with_credit(world: World) -> None:
    client, other = await world.a_client(), await world.a_client()
    runs, off = await world.a_server(client), await world.a_server(client, status="stopped")
    await world.a_server(other)
    await use_up(world, client)
    start = now()
    for _ in range(2):  # a turn that is repeated tells nothing twice
        await turn(world, start)
    assert await told(world, client) == ["low", "empty"]
    assert await statuses(world) == ["active", "stopped", "active"]
    await turn(world, start + 23 * HOUR)
    assert await statuses(world) == ["active", "stopped", "active"]
    await turn(world, start + 24 * HOUR)
    await turn(world, start + 25 * HOUR)
    assert await statuses(world) == ["suspended", "suspended", "active"]
    assert (await told(world, client))[2:] == ["suspended"]
    for verb in ("start", "stop", "reboot"):
        refused = await client("POST", f"/servers/{runs}/{verb}/")
        assert refused.status_code == 400
        assert "Add credit" in refused.json()["detail"]
    assert (await client("POST", "/servers/", BODY)).status_code == 402
    assert await told(world, other) == []

    assert (await credit(world, client, "5")).status_code == 201
    await turn(world, start + 26 * HOUR)
    shown = {row[0]: tuple(row[1:]) for row in await world.sql("SELECT id, status, wanted FROM server")}
    assert shown[runs] == ("starting", "running")
    assert shown[off] == ("stopped", "stopped")
    assert (await told(world, client))[3:] == ["restored"]
    assert await told(world, other) == []


async def test_suspended_servers_can_be_deleted(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    await use_up(world, client)
    await turn(world, grace_hours=0)
    assert await statuses(world) == ["suspended"]
    assert (await client("DELETE", f"/servers/{number}/")).status_code == 204
    await turn(world, grace_hours=0)
    assert await statuses(world) == ["deleting"]


async def test_credit_does_not_lift_an_operators_suspension(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    operator = await world.a_client(operator=True, permissions=("*:*", "accounts:*"))
    path = f"/admin/accounts/{client.account_id}"
    assert (await operator("POST", f"{path}/suspend/", {})).status_code == 400
    assert (await operator("POST", f"{path}/suspend/", {"reason": "abuse report 17"})).status_code == 200
    refused = await client("POST", f"/servers/{number}/reboot/")  # at once, before its server has followed
    assert "abuse report 17" in refused.json()["detail"]
    await turn(world)
    assert (await credit(world, client, "5")).status_code == 201
    await turn(world)
    assert await statuses(world) == ["suspended"]
    create = await client("POST", "/servers/", BODY)
    assert (create.status_code, "abuse report 17" in create.text) == (400, True)
    assert (await operator("POST", f"{path}/unsuspend/")).status_code == 200
    await turn(world)
    assert await statuses(world) == ["starting"]


async def test_deletion_is_off_by_default_and_announced_where_it_is_on(world: World) -> None:
    client = await world.a_client()
    await world.a_server(client)
    await use_up(world, client)
    await turn(world, now() - timedelta(days=90), grace_hours=0)
    await turn(world, now(), grace_hours=0)
    assert await statuses(world) == ["suspended"]
    await turn(world, now(), delete_after_days=30)  # the term begins with its announcement
    assert await statuses(world) == ["suspended"]
    assert (await told(world, client))[-1] == "deletion"
    await turn(world, now())
    assert (await told(world, client))[-1] == "deletion_called_off"
    await turn(world, now() - timedelta(days=31), delete_after_days=30)
    assert await statuses(world) == ["deleting"]
    [(ended,)] = await world.sql("SELECT ended_at IS NOT NULL FROM meter")
    assert ended


async def test_charges_go_on_down_to_the_stated_debt_and_no_further(world: World) -> None:
    client = await world.a_client()
    await world.a_server(client)
    await use_up(world, client)
    await turn(world, grace_hours=0)
    [(start,)] = await world.sql("SELECT started_at FROM meter")
    for days in (3, 20, 40):
        await charge(world.database, Terms(10**6), at=start + timedelta(days=days))
    [(total, rows)] = await world.sql(
        "SELECT amount_micro, (SELECT count(*) FROM ledger_entry WHERE kind = 'hour')"
        " FROM ledger_total WHERE account_id = :a",
        a=client.account_id,
    )
    assert (total, rows) == (-(10**6), 40 * 24 + 1)


async def test_two_creates_at_once_do_not_spend_the_same_credit_and_402_says_what_is_missing(world: World) -> None:
    client = await world.a_client(credit=0)
    await credit(world, client, "0.2")  # 24 hours of the plan for 5 a month are 0.178571
    answers = await asyncio.gather(*(client("POST", "/servers/", BODY) for _ in range(5)))
    assert sorted(one.status_code for one in answers) == [201, 402, 402, 402, 402]
    assert "0.16 is missing" in next(one for one in answers if one.status_code == 402).json()["detail"]


async def test_a_payment_counts_once_and_an_adjustment_needs_a_reason(world: World) -> None:
    client = await world.a_client(credit=0)
    for _ in range(2):
        assert (await credit(world, client, "10.01", reference="payment-1")).json()["balance"] == 10.01
    assert set((await credit(world, client, "-1", adjustment=True)).json()) == {"amount", "reason"} - {"amount"}
    assert set((await credit(world, client, "-1")).json()) == {"amount"}
    for bad in ("0", "NaN", "1e99", "0.0000001", "x", None):
        assert (await credit(world, client, bad)).status_code == 400, bad
    assert (await credit(world, client, "-0.01", adjustment=True, reason="typo")).json()["balance"] == 10.0


async def test_the_total_is_the_sum_of_the_entries(world: World) -> None:
    client = await world.a_client()
    await world.a_server(client)
    [(start,)] = await world.sql("SELECT started_at FROM meter")
    await charge(world.database, Terms(10**9), at=start + 50 * HOUR)
    sums = "SELECT account_id, sum(amount_micro) FROM ledger_entry GROUP BY 1"
    assert await world.sql(f"SELECT account_id, amount_micro FROM ledger_total EXCEPT {sums}") == []
