"""What is under way can be seen, and waited for."""

import asyncio
import time

import pytest

from factories import World
from openvps.actions import queries as actions

pytestmark = pytest.mark.anyio


async def test_an_action_is_shown_from_queued_to_completed(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client, status="provisioning")
    listed = (await client("GET", f"/servers/{number}/actions/")).json()
    assert listed["count"] == 1
    [action] = listed["results"]
    assert action == {
        "id": action["id"],
        "uuid": action["uuid"],
        "kind": "server.create",
        "subject": {"type": "server", "id": number},
        "status": "queued",
        "progress": 0,
        "queue_position": None,
        "error": None,
        "created_at": action["created_at"],
        "started_at": None,
        "finished_at": None,
    }
    async with world.database.begin() as conn:
        await actions.progressed(conn, await actions.unfinished(conn, number), 40)
    running = (await client("GET", f"/actions/{action['uuid']}/")).json()
    assert (running["status"], running["progress"]) == ("running", 40)
    assert running["started_at"]
    async with world.database.begin() as conn:
        await actions.finish(conn, [action["id"]], "completed")
    done = (await client("GET", f"/actions/{action['id']}/")).json()
    assert (done["status"], done["progress"]) == ("completed", 100)
    assert done["finished_at"]


async def test_a_failure_says_why(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client, status="provisioning")
    async with world.database.begin() as conn:
        [one] = await actions.unfinished(conn, number)
        await actions.finish(conn, [one.id], "failed", "It took too long and was given up.")
    shown = (await client("GET", f"/actions/{one.id}/")).json()
    assert (shown["status"], shown["error"]) == ("failed", "It took too long and was given up.")


async def test_a_deletes_answer_names_its_action_which_outlives_the_server(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    gone = await client("DELETE", f"/servers/{number}/")
    assert gone.status_code == 204
    where = gone.headers["Location"]
    assert where.startswith("http://api.test/api/v1/actions/")
    action = (await client("GET", where)).json()
    assert action["kind"] == "server.delete"
    assert (await client("GET", f"/servers/{number}/actions/")).status_code == 404


async def test_anothers_action_is_404(world: World) -> None:
    client, other = await world.a_client(), await world.a_client()
    number = await world.a_server(client)
    [one] = (await client("GET", f"/servers/{number}/actions/")).json()["results"]
    for reference in (one["id"], one["uuid"], 999, "x"):
        assert (await other("GET", f"/actions/{reference}/")).status_code == 404


async def test_who_waits_is_answered_when_it_is_done(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client, status="provisioning")
    [one] = (await client("GET", f"/servers/{number}/actions/")).json()["results"]

    async def done_soon() -> None:
        await asyncio.sleep(0.5)
        async with world.database.begin() as conn:
            await actions.finish(conn, [one["id"]], "completed")
        await world.sql("UPDATE server SET status = 'active' WHERE id = :id", id=number)

    began = time.monotonic()
    action, server, _ = await asyncio.gather(
        client("GET", f"/actions/{one['id']}/?wait=30"), client("GET", f"/servers/{number}/?wait=30"), done_soon()
    )
    assert action.json()["status"] == "completed"
    assert server.json()["status"] == "active"
    assert time.monotonic() - began < 4  # told, not found by looking every 5 s


async def test_a_wait_ends_with_its_seconds(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client, status="provisioning")
    began = time.monotonic()
    answer = await client("GET", f"/servers/{number}/?wait=1")
    assert answer.json()["status"] == "provisioning"
    assert time.monotonic() - began >= 1


async def test_who_waits_for_a_server_that_goes_is_told(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client, status="provisioning")

    async def deleted_soon() -> None:
        await asyncio.sleep(0.3)
        await client("DELETE", f"/servers/{number}/")

    answer, _ = await asyncio.gather(client("GET", f"/servers/{number}/?wait=30"), deleted_soon())
    assert answer.status_code == 404


async def test_a_token_revoked_while_it_waits_gets_no_answer(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client, status="provisioning")

    async def revoked_soon() -> None:
        await asyncio.sleep(0.3)
        await world.sql("UPDATE token SET revoked_at = now()")
        await world.sql("UPDATE server SET status = 'active' WHERE id = :id", id=number)

    answer, _ = await asyncio.gather(client("GET", f"/servers/{number}/?wait=30"), revoked_soon())
    assert answer.status_code == 401


async def test_many_who_wait_hold_no_connections(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client, status="provisioning")
    waiting = [asyncio.create_task(client("GET", f"/servers/{number}/?wait=60")) for _ in range(40)]
    await asyncio.sleep(0.7)
    # Five who held theirs would have the others and this one refused after ten seconds.
    assert (await client("GET", "/account/me/")).status_code == 200
    await world.sql("UPDATE server SET status = 'active' WHERE id = :id", id=number)
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}


@pytest.mark.parametrize("wait", ["61", "-1", "x", "1.5", ""])
async def test_a_wait_that_is_no_number_of_seconds_is_400(world: World, wait: str) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    answer = await client("GET", f"/servers/{number}/?wait={wait}")
    assert answer.status_code == 400
    assert "wait" in answer.json()
