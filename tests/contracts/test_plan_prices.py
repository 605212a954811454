"""Plans and prices are data: a server keeps the price it was made with until told otherwise."""

import asyncio
import json
from typing import Any

import pytest

from factories import World
from openvps.ops.commands import main

pytestmark = pytest.mark.anyio


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    async def run(*arguments: str) -> tuple[int, Any]:
        code = await asyncio.to_thread(main, [*arguments, "-o", "json"])
        said = capsys.readouterr().out
        return code, json.loads(said) if said else None

    return run


async def prices(world: World) -> list[tuple[int, int]]:
    rows = await world.sql(
        "SELECT server.price_monthly_micro, rate_period.price_monthly_micro FROM server"
        " JOIN rate_period ON server_id = server.id WHERE ends_at IS NULL ORDER BY server.id"
    )
    return [(row[0], row[1]) for row in rows]


async def test_a_new_price_is_for_new_servers_until_told_otherwise(world: World, run: Any) -> None:
    client = await world.a_client()
    await world.a_server(client)
    assert (await run("plan", "edit", "starter-vps", "--price", "7.50"))[0] == 0
    await world.a_server(client, name="web-2")
    assert await prices(world) == [(5_000_000, 5_000_000), (7_500_000, 7_500_000)]
    for expected in (1, 0):
        _, told = await run("plan", "edit", "3", "--apply-to-existing")
        assert told["servers_changed"] == expected
    assert await prices(world) == [(7_500_000, 7_500_000)] * 2
    hours = await world.sql("SELECT ends_at - begins_at FROM rate_period WHERE ends_at IS NOT NULL")
    assert [row[0].total_seconds() for row in hours] == [3600]  # the hour that had begun keeps its price


async def test_a_plan_is_added_sold_and_retired(world: World, run: Any) -> None:
    client = await world.a_client()
    sizes = ("--vcpus", "1", "--memory-mib", "512", "--storage-gb", "5", "--bandwidth-gb", "100")
    wanted = ("plan", "add", "mini", "--name", "Mini VPS", *sizes, "--price", "2.00")
    (code, made), (again, same) = await run(*wanted), await run(*wanted)
    assert (code, again, made["id"]) == (0, 0, same["id"])
    body = {"name": "web-1", "plan_id": made["id"], "os_id": 3, "location": "us-west"}
    assert (await client("POST", "/servers/", body)).status_code == 201
    assert (made["price"], made["retired_at"]) == ("2.00", None)
    retired = (await run("plan", "retire", "mini"))[1]
    assert (retired["servers"], retired["retired_at"] is None) == (1, False)
    assert (await client("POST", "/servers/", body)).status_code == 400
    assert made["id"] not in [one["id"] for one in (await client("GET", "/plans/")).json()["results"]]
    assert await prices(world) == [(2_000_000, 2_000_000)]
    _, other = await run("plan", "add", "3", *wanted[3:])  # not plan 3, which is another one
    assert (other["slug"], other["servers"]) == ("3", 0)
    for wrong in (("edit", "mini", "--price", "-1"), ("edit", "nothing"), ("add", "Bad Slug", *wanted[3:])):
        assert (await run("plan", *wrong))[0] != 0


async def test_an_operator_offers_changes_and_retires_plans_over_the_api(world: World) -> None:
    operator = await world.a_client(operator=True, permissions=("operations:*",))
    client = await world.a_client()
    sizes = {"vcpus": 1, "memory_mib": 512, "storage_gb": 5, "bandwidth_gb": 100}
    wanted = {"slug": "mini", "name": "Mini VPS", **sizes, "price": "2.005"}
    made = (await operator("POST", "/admin/plans/", wanted)).json()
    assert (made["kind"], made["price"], made["servers"]) == ("container", "2.005", 0)
    refused = await operator("POST", "/admin/plans/", wanted)
    assert (refused.status_code, list(refused.json())) == (400, ["slug"])
    await world.a_server(client, plan_id=made["id"])
    one = f"/admin/plans/{made['id']}/"
    changed = (await operator("PATCH", one, {"price": "3.00"})).json()
    assert (changed["price"], changed["servers"], changed["servers_changed"], changed["name"]) == (
        *("3.00", 1, 0),
        "Mini VPS",
    )
    assert await prices(world) == [(2_005_000, 2_005_000)]
    assert (await operator("PATCH", one, {"apply_to_existing": True})).json()["servers_changed"] == 1
    assert await prices(world) == [(3_000_000, 3_000_000)]
    assert (await operator("PATCH", one, {"vcpus": 64})).json()["vcpus"] == 1, "a size is a promise"
    assert (await operator("POST", f"{one}retire/")).json()["retired_at"]
    listed = (await operator("GET", "/admin/plans/?page_size=100")).json()["results"]
    assert [bool(found["retired_at"]) for found in listed if found["id"] == made["id"]] == [True]
    assert made["id"] not in [found["id"] for found in (await client("GET", "/plans/")).json()["results"]]
    for bad in ({"price": "-1"}, {"price": "1.0000001"}, {"name": ""}):
        assert list((await operator("PATCH", one, bad)).json()) == list(bad)
    audit = await world.sql("SELECT operation FROM audit_entry WHERE operation LIKE '%plan' ORDER BY id")
    assert [row[0] for row in audit] == ["create_plan", *(["change_plan"] * 3), "retire_plan"]
