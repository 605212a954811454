"""`/power/` in four words, and `/resize/`: what is allowed, taken and given back."""

from typing import Any

import pytest

from factories import Client, World
from openvps.actions import queries as actions
from openvps.compute.servers import promise, queries
from openvps.compute.servers.states import STATUSES, TRANSITIONS
from openvps.ledger import rates

pytestmark = pytest.mark.anyio

ROOM = "SELECT used_vcpus, used_memory_mib, used_storage_gb FROM cell"


async def room(world: World) -> tuple[int, ...]:
    [row] = await world.sql(ROOM)
    return tuple(row)


async def put(world: World, number: int, status: str) -> None:
    await world.sql("UPDATE server SET status = :status WHERE id = :id", status=status, id=number)


async def resized(client: Client, number: int, **body: Any) -> Any:
    return await client("POST", f"/servers/{number}/resize/", body)


@pytest.mark.parametrize(
    ("word", "before", "meanwhile", "kind"),
    [
        ("start", "stopped", "starting", "server.start"),
        ("stop", "active", "stopping", "server.stop"),
        ("restart", "active", "rebooting", "server.reboot"),
        ("hard_stop", "active", "stopping", "server.hard_stop"),
    ],
)
async def test_power_in_four_words(world: World, word: str, before: str, meanwhile: str, kind: str) -> None:
    client = await world.a_client()
    number = await world.a_server(client, status=before)
    answer = await client("POST", f"/servers/{number}/power/", {"action": word})
    assert answer.status_code == 200
    assert answer.json()["server"]["status"] == meanwhile
    action = (await client("GET", f"/actions/{answer.json()['action_id']}/")).json()
    assert (action["kind"], action["subject"]) == (kind, {"type": "server", "id": number})


@pytest.mark.parametrize("body", [{}, {"action": "explode"}, {"action": None}, {"action": 1}])
async def test_another_word_is_400(world: World, body: Any) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    answer = await client("POST", f"/servers/{number}/power/", body)
    assert answer.status_code == 400
    assert "action" in answer.json()


@pytest.mark.parametrize("kind", ["hard_stop", "resize"])
async def test_it_is_refused_in_every_status_that_does_not_allow_it(world: World, kind: str) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    path, body = ("power", {"action": kind}) if kind == "hard_stop" else ("resize", {"plan": 1})
    for status in STATUSES - TRANSITIONS[kind].allowed - {"deleting"}:
        await put(world, number, status)
        answer = await client("POST", f"/servers/{number}/{path}/", body)
        assert answer.status_code == 400, status
        assert status in answer.json()["detail"]


async def test_cutting_the_power_ends_what_runs_and_says_why(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    first = (await client("POST", f"/servers/{number}/reboot/")).json()["action_id"]
    answer = await client("POST", f"/servers/{number}/power/", {"action": "hard_stop"})
    assert answer.status_code == 200
    ended = (await client("GET", f"/actions/{first}/")).json()
    assert (ended["status"], ended["error"]) == ("cancelled", "The server's power was cut.")


async def test_growing_is_live_and_takes_room_and_credit_at_once(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    assert await room(world) == (1, 2048, 40)
    answer = await resized(client, number, plan_id=1)
    assert answer.status_code == 200
    assert answer.json()["restart"] is False
    assert answer.json()["server"]["status"] == "resizing"
    assert await room(world) == (2, 4096, 80)
    shown = (await client("GET", f"/servers/{number}/")).json()
    assert shown["plan"] == {
        "id": 1,
        "name": "Standard VPS",
        "vcpus": 2,
        "memory": 4096,
        "storage": 80,
        "bandwidth": 2048,
    }
    [(held, monthly)] = await world.sql(
        "SELECT amount_micro, price_monthly_micro FROM ledger_hold, server WHERE reference = 'server:' || server.id"
    )
    assert held == 24 * monthly // 672


async def a_shrinking(world: World, client: Client) -> tuple[int, Any]:
    """Ask an active server for a plan with less memory, and the same disk."""
    number = await world.a_server(client, plan_id=1)
    await world.sql("UPDATE plan SET storage_gb = 80 WHERE id = 3")
    return number, await resized(client, number, plan=3)


async def test_less_memory_announces_a_restart_and_gives_room_back_when_done(world: World) -> None:
    client = await world.a_client()
    number, answer = await a_shrinking(world, client)
    assert answer.json()["restart"] is True
    assert "restart" in answer.json()["message"]
    assert await world.sql("SELECT reboots FROM server") == [(1,)]
    assert await room(world) == (2, 4096, 80)
    async with world.database.begin() as conn:
        await promise.settle(conn, number, await actions.unfinished(conn, number))
    assert await room(world) == (1, 2048, 80)


async def test_a_stopped_server_needs_no_restart(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client, status="stopped", plan_id=1)
    await world.sql("UPDATE plan SET storage_gb = 80 WHERE id = 3")
    assert (await resized(client, number, plan=3)).json()["restart"] is False


async def test_deleting_in_between_gives_all_room_back(world: World) -> None:
    client = await world.a_client()
    number, _ = await a_shrinking(world, client)
    assert (await client("DELETE", f"/servers/{number}/")).status_code == 204
    assert await room(world) == (1, 2048, 80)  # the rest when the machine is gone: tests/faults


async def test_a_resize_that_failed_puts_back_what_was_promised(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    [before] = await world.sql("SELECT plan_id, vcpus, memory_mib, storage_gb, price_monthly_micro FROM server")
    hold = await world.sql("SELECT amount_micro FROM ledger_hold")
    await resized(client, number, plan=1)
    async with world.database.begin() as conn:
        await rates.lock(conn, client.account_id)
        await promise.put_back(conn, number, await actions.unfinished(conn, number), world.config.hold_hours)
    assert await world.sql("SELECT plan_id, vcpus, memory_mib, storage_gb, price_monthly_micro FROM server") == [
        before
    ]
    assert await room(world) == (1, 2048, 40)
    assert await world.sql("SELECT amount_micro FROM ledger_hold") == hold


async def test_what_cannot_be_is_400_and_says_why(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client, plan_id=1)
    for body, word in (
        ({"plan": 1}, "already"),
        ({"plan": 3}, "smaller"),
        ({"plan": 99}, "no plan"),
        ({}, "required"),
        ({"plan": 2, "plan_id": 1}, "another"),
    ):
        answer = await resized(client, number, **body)
        assert answer.status_code == 400
        assert any(word in text for texts in answer.json().values() for text in texts), answer.text
    await world.sql("UPDATE plan SET kind = 'vm' WHERE id = 2")
    assert "Create a new server" in (await resized(client, number, plan=2)).text
    await world.sql("UPDATE plan SET kind = 'container' WHERE id = 2")
    await world.sql("UPDATE cell SET largest_vcpus = 3")
    assert "host can't hold" in (await resized(client, number, plan=2)).text


async def test_no_room_is_503_and_no_credit_402_and_nothing_has_changed(world: World) -> None:
    client = await world.a_client(credit=1)
    number = await world.a_server(client)
    await world.sql("UPDATE cell SET room_memory_mib = 4000")
    full = await resized(client, number, plan=1)
    assert full.status_code == 503
    assert int(full.headers["Retry-After"]) > 0
    await world.sql("UPDATE plan SET price_monthly_micro = 672000000 WHERE id = 1")
    poor = await resized(client, number, plan=1)
    assert poor.status_code == 402
    assert (await client("GET", f"/servers/{number}/")).json()["status"] == "active"
    assert await room(world) == (1, 2048, 40)


async def test_a_resize_stays_within_the_quota_of_vcpus(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    await world.sql("UPDATE account SET max_vcpus = 1 WHERE id = :id", id=client.account_id)
    answer = await resized(client, number, plan=1)
    assert answer.status_code == 400
    assert "vCPUs" in answer.json()["detail"]
    assert (await client("GET", f"/servers/{number}/")).json()["status"] == "active"


async def test_creates_stay_within_the_hours_quota(world: World) -> None:
    client = await world.a_client()
    await world.a_server(client)
    await world.sql("UPDATE account SET creates_an_hour = 1 WHERE id = :id", id=client.account_id)
    body = {"name": "web-2", "plan_id": 3, "os_id": 3, "location": "us-west"}
    answer = await client("POST", "/servers/", body)
    assert answer.status_code == 400
    assert "60 minutes" in answer.json()["detail"]
    await world.sql("UPDATE action SET created_at = now() - interval '61 minutes'")
    assert (await client("POST", "/servers/", body)).status_code == 201


async def test_growing_disk_alone_needs_no_room_of_another_kind(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    await world.sql("UPDATE cell SET room_memory_mib = 0, room_vcpus = 0")
    await world.sql("UPDATE plan SET vcpus = 1, memory_mib = 2048 WHERE id = 1")
    assert (await resized(client, number, plan=1)).status_code == 200


async def test_size_is_what_the_row_says(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    async with world.database.begin() as conn:
        row = await queries.size(conn, number)
    assert (row.vcpus, row.memory_mib, row.storage_gb) == (1, 2048, 40)
