"""What operators steer by: pauses, everybody's unfinished actions, and how many servers are made at once."""

import asyncio
from typing import Any

import pytest

from factories import Client, World
from openvps.billing.charge import Terms, charge
from openvps.compute.backups import converge as backups
from openvps.compute.backups import queries as backup_rows
from openvps.compute.servers import queue
from openvps.compute.servers.context import Context
from openvps.compute.servers.converge import converge
from openvps.compute.snapshots import converge as snapshots
from openvps.ops import commands

pytestmark = pytest.mark.anyio

NEW = {"name": "web-1", "plan_id": 3, "os_id": 3, "location": "us-west"}


async def an_operator(world: World) -> Client:
    return await world.a_client(operator=True, permissions=("operations:*",))


async def the_action(customer: Client, server: int) -> dict[str, Any]:
    return (await customer("GET", f"/servers/{server}/actions/")).json()["results"][0]


async def settled(world: World, server: int, status: str = "active") -> None:
    """Have a create end, as converge would have it."""
    wanted = "running" if status == "active" else "stopped"
    ready = "now()" if status == "active" else "NULL"
    await world.sql(
        f"UPDATE server SET status = :status, wanted = :wanted, ready_at = {ready}, look_at = NULL,"
        " deadline_at = NULL WHERE id = :id",
        status=status,
        wanted=wanted,
        id=server,
    )
    ended = "completed" if status == "active" else "failed"
    await world.sql(
        "UPDATE action SET finished_at = now(), status = :ended WHERE subject_id = :id AND finished_at IS NULL",
        ended=ended,
        id=server,
    )


@pytest.mark.parametrize("place", ["cells", "locations"])
async def test_where_it_is_paused_no_new_server_is_made_and_what_is_there_goes_on(world: World, place: str) -> None:
    operator, customer = await an_operator(world), await world.a_client()
    server = await world.a_server(customer)
    paused = await operator("POST", f"/admin/{place}/1/pause/", {"reason": "new disks"})
    assert (paused.status_code, paused.json()["paused_reason"]) == (200, "new disks")
    assert paused.json()["paused_at"] is not None
    refused = await customer("POST", "/servers/", NEW)
    assert refused.status_code == 503
    assert "for now" in refused.json()["detail"]
    assert int(refused.headers["Retry-After"]) > 0
    plans = (await customer("GET", "/plans/")).json()["results"]
    assert {one["available"] for one in plans} == {False}
    assert (await customer("POST", f"/servers/{server}/resize/", {"plan": 1})).status_code == 200
    assert (await customer("DELETE", f"/servers/{server}/")).status_code == 204

    again = await operator("POST", f"/admin/{place}/1/resume/")
    assert (again.json()["paused_at"], again.json()["paused_reason"]) == (None, "")
    assert (await customer("POST", "/servers/", NEW)).status_code == 201
    told = await world.sql("SELECT operation FROM audit_entry WHERE operation ~ '^(pause|resume)' ORDER BY id")
    assert [row[0].partition("_")[0] for row in told] == ["pause", "resume"]


async def test_a_paused_location_is_shown_as_not_active(world: World) -> None:
    operator, customer = await an_operator(world), await world.a_client()
    await operator("POST", "/admin/locations/1/pause/")
    assert (await customer("GET", "/locations/1/")).json()["is_active"] is False
    listed = (await operator("GET", "/admin/locations/")).json()["results"]
    assert [(one["code"], one["paused_at"] is not None) for one in listed] == [("us-west", True)]


async def test_only_so_many_are_made_at_once_and_accounts_take_turns(world: World) -> None:
    operator, busy, other = await an_operator(world), await world.a_client(), await world.a_client()
    assert (await operator("PATCH", "/admin/cells/1/", {"creates_at_once": 1})).json()["creates_at_once"] == 1
    first, second, third = [(await busy("POST", "/servers/", NEW)).json()["id"] for _ in range(3)]
    fourth = (await other("POST", "/servers/", NEW)).json()["id"]

    async def positions() -> list[int | None]:
        owners = {first: busy, second: busy, third: busy, fourth: other}
        return [(await the_action(owner, one))["queue_position"] for one, owner in owners.items()]

    assert await positions() == [None, 2, 3, 1], "who asks once doesn't wait for all of another's"
    assert (await the_action(busy, third))["status"] == "queued"
    shown = (await operator("GET", "/admin/cells/1/")).json()
    assert (shown["being_made"], shown["waiting"]) == (1, 3)
    waiting = await the_action(other, fourth)
    assert (await other("GET", f"/actions/{waiting['id']}/")).json()["queue_position"] == 1

    await settled(world, first)
    await queue.go_on(world.database, 32)
    assert await positions() == [None, 1, 2, None]
    row = await world.sql("SELECT admitted_at, look_at, deadline_at - look_at FROM server WHERE id = :id", id=fourth)
    assert row[0][0] == row[0][1]
    assert row[0][2].total_seconds() == 300, "its five minutes begin with its turn"
    await operator("PATCH", "/admin/cells/1/", {"creates_at_once": None})
    await queue.go_on(world.database, 32)
    assert await positions() == [None, None, None, None]


async def test_who_waits_is_looked_at_by_nobody_and_can_be_deleted(world: World) -> None:
    operator, customer = await an_operator(world), await world.a_client()
    await operator("PATCH", "/admin/cells/1/", {"creates_at_once": 1})
    _, waits = [(await customer("POST", "/servers/", NEW)).json()["id"] for _ in range(2)]
    await world.sql("UPDATE server SET look_at = now() WHERE id = :id", id=waits)
    context = Context(world.database, world.config, {})
    await converge(context, waits)
    assert await world.sql("SELECT look_at = deadline_at, status FROM server WHERE id = :id", id=waits) == [
        (True, "provisioning")
    ]
    await world.sql("UPDATE server SET deadline_at = now() WHERE id = :id", id=waits)
    await converge(context, waits)
    ended = (await customer("GET", f"/servers/{waits}/")).json()
    assert (ended["status"], ended["error"]) == ("error", queue.GIVEN_UP)
    assert (await customer("DELETE", f"/servers/{waits}/")).status_code == 204


async def a_failed_create(world: World, customer: Client, **fields: Any) -> int:
    number = await world.a_server(customer, status="provisioning", **fields)
    await settled(world, number, "error")
    await world.sql("DELETE FROM ledger_hold")
    await world.sql("UPDATE meter SET ended_at = now(), due_at = NULL")
    await world.sql("UPDATE rate_period SET ends_at = (SELECT ended_at FROM meter)")
    return number


async def test_a_create_that_failed_is_tried_again_with_credit_held_and_fresh_time(world: World) -> None:
    customer = await world.a_client()
    server = await a_failed_create(world, customer)
    room = await world.sql("SELECT used_vcpus, used_memory_mib, used_storage_gb FROM cell")
    addresses = (await customer("GET", f"/servers/{server}/")).json()["ipv4_addresses"]
    answer = await customer("POST", f"/servers/{server}/retry/")
    assert (answer.status_code, answer.json()["server"]["status"]) == (200, "provisioning")
    assert await world.sql("SELECT used_vcpus, used_memory_mib, used_storage_gb FROM cell") == room
    assert (await customer("GET", f"/servers/{server}/")).json()["ipv4_addresses"] == addresses
    assert await world.sql("SELECT reference FROM ledger_hold") == [(f"server:{server}",)]
    row = await world.sql("SELECT attempts, wanted, error, deadline_at > now() + interval '290 s' FROM server")
    assert row == [(1, "running", None, True)]
    assert await world.sql("SELECT ended_at FROM meter") == [(None,)]
    action = await the_action(customer, server)
    assert (action["kind"], action["id"]) == ("server.retry", answer.json()["action_id"])
    refused = await customer("POST", f"/servers/{server}/retry/")
    assert (refused.status_code, refused.json()["detail"]) == (
        400,
        "Only a server that couldn't be made can be tried again; this one is provisioning.",
    )


async def test_what_cannot_be_tried_again_says_why(world: World) -> None:
    operator, customer, poor = await an_operator(world), await world.a_client(), await world.a_client()
    server = await a_failed_create(world, customer)
    await world.sql("UPDATE server SET look_at = now()")
    assert "turned off" in (await customer("POST", f"/servers/{server}/retry/")).json()["detail"]
    await world.sql("UPDATE server SET look_at = NULL, ready_at = now()")
    assert "Restore a backup" in (await customer("POST", f"/servers/{server}/retry/")).json()["detail"]
    await world.sql("UPDATE server SET ready_at = NULL, restores = 1")
    assert "of a backup" in (await customer("POST", f"/servers/{server}/retry/")).json()["detail"]
    await world.sql("UPDATE server SET restores = 0")
    await operator("POST", "/admin/cells/1/pause/")
    assert (await customer("POST", f"/servers/{server}/retry/")).status_code == 503
    await operator("POST", "/admin/cells/1/resume/")
    await world.sql(
        "INSERT INTO ledger_entry (account_id, amount_micro, kind, reference)"
        " SELECT account_id, -amount_micro, 'adjustment', 'all' FROM ledger_total WHERE account_id = :id",
        id=customer.account_id,
    )
    assert (await customer("POST", f"/servers/{server}/retry/")).status_code == 402
    assert (await poor("POST", f"/servers/{server}/retry/")).status_code == 404


async def test_hours_between_the_attempts_are_not_charged(world: World) -> None:
    customer = await world.a_client()
    server = await a_failed_create(world, customer)
    await world.sql(
        "UPDATE meter SET started_at = now() - interval '5 h 10 min', ended_at = now() - interval '5 h',"
        " due_at = NULL, traffic_at = NULL"
    )
    await world.sql(
        "UPDATE rate_period SET begins_at = (SELECT started_at FROM meter), ends_at = (SELECT ended_at FROM meter)"
    )
    assert (await customer("POST", f"/servers/{server}/retry/")).status_code == 200
    await charge(world.database, Terms.of(world.config))
    charged = await world.sql("SELECT amount_micro < 0 FROM ledger_entry WHERE kind = 'hour' ORDER BY at")
    assert charged == [(True,)], "the one hour that has begun since"
    periods = await world.sql("SELECT price_monthly_micro = 0, ends_at IS NULL FROM rate_period ORDER BY begins_at")
    assert periods == [(False, False), (True, False), (False, True)]


async def test_operators_see_everybodys_unfinished_actions_and_have_them_tried_again(world: World) -> None:
    operator, customer = await an_operator(world), await world.a_client()
    server = await world.a_server(customer, status="provisioning")
    listed = (await operator("GET", "/admin/actions/")).json()
    assert [(one["kind"], one["subject_id"], one["stuck"]) for one in listed["results"]] == [
        ("server.create", server, False)
    ]
    assert (await operator("GET", "/admin/actions/?stuck=true")).json()["count"] == 0
    await world.sql("UPDATE cell SET away_at = now()")
    assert (await operator("GET", "/admin/actions/?stuck=true")).json()["count"] == 1
    await world.sql("UPDATE cell SET away_at = NULL")
    await world.sql("UPDATE server SET look_at = NULL, deadline_at = now() - interval '1 h'")
    stuck = (await operator("GET", "/admin/actions/?stuck=true")).json()["results"][0]
    await world.sql("DELETE FROM procrastinate_jobs")
    again = (await operator("POST", f"/admin/actions/{stuck['uuid']}/retry/")).json()
    assert again["look_at"] is not None
    assert again["deadline_at"] > again["look_at"]
    assert await world.sql("SELECT lock FROM procrastinate_jobs") == [(f"server:{server}",)]


async def test_a_cancelled_action_ends_as_if_it_had_failed_with_the_reason(world: World) -> None:
    operator, customer = await an_operator(world), await world.a_client()
    server = await world.a_server(customer, status="stopped")
    started = (await customer("POST", f"/servers/{server}/start/")).json()["action_id"]
    answer = await operator("POST", f"/admin/actions/{started}/cancel/", {"reason": "Its host has failed."})
    assert (answer.status_code, answer.json()["cancelled_for"]) == (200, "Its host has failed.")
    await converge(Context(world.database, world.config, {}), server)
    ended = (await customer("GET", f"/actions/{started}/")).json()
    assert (ended["status"], ended["error"]) == ("cancelled", "Its host has failed.")
    assert (await customer("GET", f"/servers/{server}/")).json()["status"] == "stopped"
    assert (await operator("POST", f"/admin/actions/{started}/cancel/")).status_code == 400
    assert (await operator("POST", f"/admin/actions/{1 << 40}/cancel/")).status_code == 404


async def test_a_deletion_is_not_cancelled(world: World) -> None:
    operator, customer = await an_operator(world), await world.a_client()
    server = await world.a_server(customer)
    await customer("DELETE", f"/servers/{server}/")
    action = await world.sql("SELECT id FROM action WHERE kind = 'server.delete'")
    assert (await operator("POST", f"/admin/actions/{action[0][0]}/cancel/")).status_code == 400


@pytest.mark.parametrize("kind", ["snapshot", "backup"])
async def test_a_copy_that_is_cancelled_says_why(world: World, kind: str) -> None:
    operator, customer = await an_operator(world), await world.a_client()
    server = await world.a_server(customer)
    make, look = (world.a_snapshot, snapshots.converge) if kind == "snapshot" else (world.a_backup, backups.converge)
    number = await make(customer, server, status="in_progress")
    action = (await world.sql("SELECT id FROM action WHERE kind = :kind", kind=f"{kind}.create"))[0][0]
    body = {"reason": "Its host is to be replaced."}
    assert (await operator("POST", f"/admin/actions/{action}/cancel/", body)).status_code == 200
    await look(Context(world.database, world.config, {}), number)
    ended = (await customer("GET", f"/actions/{action}/")).json()
    assert (ended["status"], ended["error"]) == ("cancelled", "Its host is to be replaced.")
    shown = (await customer("GET", f"/{kind}s/{number}/")).json()
    assert (shown["status"], shown["error"]) == ("failed", "Its host is to be replaced.")


async def test_a_backup_that_was_cancelled_is_not_completed_by_who_was_making_it(world: World) -> None:
    customer = await world.a_client()
    backup = await world.a_backup(customer, await world.a_server(customer), status="in_progress")
    async with world.database.begin() as conn:
        seen = await backup_rows.row(conn, backup)
        assert seen is not None
    await world.sql("UPDATE action SET cancelled_for = 'no more' WHERE kind = 'backup.create'")
    await backups.converge(Context(world.database, world.config, {}), backup)
    async with world.database.begin() as conn:
        assert not await backup_rows.settle(conn, seen, status="completed")
    assert (await customer("GET", f"/backups/{backup}/")).json()["status"] == "failed"


async def test_the_commands_do_the_same(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    customer = await world.a_client()
    server = await world.a_server(customer, status="provisioning")
    action = (await the_action(customer, server))["id"]
    await world.sql("UPDATE server SET look_at = NULL")

    async def run(*arguments: str) -> int:
        return await asyncio.to_thread(commands.main, list(arguments))

    assert await run("action", "list", "--stuck") == 0
    assert "server.create" in capsys.readouterr().out
    assert await run("action", "retry", str(action)) == 0
    assert await run("action", "cancel", str(action), "--reason", "no more") == 0
    assert await run("action", "retry", str(1 << 40)) == 1
    assert await world.sql("SELECT cancelled_for FROM action") == [("no more",)]
    for place, name in (("cell", "here"), ("location", "us-west")):
        assert await run(place, "pause", name, "--reason", "disks") == 0
        assert await world.sql(f"SELECT paused_reason FROM {place}") == [("disks",)]
        assert await run(place, "resume", name) == 0
        assert await world.sql(f"SELECT paused_at FROM {place}") == [(None,)]
        assert await run(place, "pause", "nowhere") == 1
    assert await run("cell", "limit", "here", "3") == 0
    assert await world.sql("SELECT creates_at_once FROM cell") == [(3,)]
    assert await run("cell", "limit", "here", "0") == 0
    assert await world.sql("SELECT creates_at_once FROM cell") == [(None,)]
    told = await world.sql("SELECT details->>'by' FROM audit_entry WHERE operation = 'pause_cell'")
    assert told == [("root on the host",)]
