"""`/snapshots/`: what is kept, how many, and when a server may be restored."""

import pytest

from factories import World
from openvps.compute.consistency import queries as consistency
from openvps.compute.servers.states import STATUSES, TRANSITIONS

pytestmark = pytest.mark.anyio


async def test_a_snapshot_is_asked_for_and_listed(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    body = {"server_id": server, "name": "before-upgrade", "description": "to 2.0"}
    made = await client("POST", "/snapshots/", body)
    assert made.status_code == 201
    shown = made.json()
    assert (shown["name"], shown["description"]) == ("before-upgrade", "to 2.0")
    assert (shown["status"], shown["size_mb"], shown["server"]) == (
        "in_progress",
        None,
        {"id": server, "name": "web-1"},
    )
    assert shown["message"]
    action = (await client("GET", f"/actions/{shown['action_id']}/")).json()
    assert (action["kind"], action["subject"]) == ("snapshot.create", {"type": "snapshot", "id": shown["id"]})
    kept = {key: shown[key] for key in set(shown) - {"message", "action_id"}}
    assert (await client("GET", "/snapshots/")).json()["results"] == [kept]
    assert (await client("GET", f"/snapshots/{shown['uuid']}/")).json() == kept
    assert (await client("GET", f"/servers/{server}/")).json()["status"] == "active"


async def test_a_list_can_be_of_one_server(world: World) -> None:
    client = await world.a_client()
    one, other = await world.a_server(client), await world.a_server(client)
    await world.a_snapshot(client, one)
    mine = await world.a_snapshot(client, other)
    [(uuid,)] = await world.sql("SELECT uuid FROM server WHERE id = :id", id=other)
    for reference in (other, uuid):
        answer = (await client("GET", f"/snapshots/?server_id={reference}")).json()
        assert [row["id"] for row in answer["results"]] == [mine]
    assert (await client("GET", "/snapshots/?server_id=nonsense")).status_code == 400


async def test_the_sixth_is_refused_and_one_that_failed_takes_no_place(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    await world.a_snapshot(client, server, status="failed")
    made = [await world.a_snapshot(client, server, f"number-{number}") for number in range(5)]
    sixth = await client("POST", f"/servers/{server}/snapshot/", {})
    assert sixth.status_code == 400
    assert "5 snapshots" in sixth.json()["detail"]
    assert (await client("DELETE", f"/snapshots/{made[0]}/")).status_code == 204
    assert (await client("POST", f"/servers/{server}/snapshot/", {})).status_code == 201


@pytest.mark.parametrize("name", ["", "two words", "umläut", "a/b", "x" * 65, 7, None])
async def test_a_name_has_letters_digits_hyphens_and_underscores(world: World, name: object) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    answer = await client("POST", "/snapshots/", {"server_id": server, "name": name})
    assert (answer.status_code, set(answer.json())) == (400, {"name"})


async def test_every_bad_field_is_named_and_anothers_server_is_none(world: World) -> None:
    client, stranger = await world.a_client(), await world.a_client()
    answer = await client("POST", "/snapshots/", {"server_id": 10**12})
    assert (answer.status_code, set(answer.json())) == (400, {"server_id", "name"})
    server = await world.a_server(client)
    answer = await stranger("POST", "/snapshots/", {"server_id": server, "name": "mine"})
    assert (answer.status_code, set(answer.json())) == (400, {"server_id"})


@pytest.mark.parametrize(
    ("label", "name"), [("before upgrade", "before-upgrade"), ("a_1-b", "a_1-b"), ("…", None), (None, None)]
)
async def test_the_clients_label_becomes_the_name(world: World, label: str | None, name: str | None) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    answer = await client("POST", f"/servers/{server}/snapshot/", {"label": label} if label else None)
    assert answer.status_code == 201
    assert answer.json()["description"] == (label or "")
    assert answer.json()["name"] == name if name else answer.json()["name"].startswith("snapshot-")


async def test_a_restore_is_answered_as_published(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    snapshot = await world.a_snapshot(client, server)
    kept = (await client("GET", f"/snapshots/{snapshot}/")).json()
    answer = await client("POST", f"/snapshots/{snapshot}/restore/")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "success"
    assert body["snapshot"] == {"id": snapshot, "name": "before", "created_at": kept["created_at"]}
    assert body["server"] == {"id": server, "name": "web-1", "status": "restoring"}
    action = (await client("GET", f"/actions/{body['action_id']}/")).json()
    assert (action["kind"], action["subject"]["id"]) == ("server.restore", server)
    assert (await client("DELETE", f"/snapshots/{snapshot}/")).status_code == 400


async def test_a_restore_is_refused_in_every_status_that_does_not_allow_it(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    snapshot = await world.a_snapshot(client, server)
    for status in STATUSES - TRANSITIONS["restore"].allowed:
        await world.sql("UPDATE server SET status = :status WHERE id = :id", status=status, id=server)
        assert (await client("POST", f"/snapshots/{snapshot}/restore/")).status_code == 400, status
        assert (await client("POST", f"/servers/{server}/snapshot/")).status_code == 400, status


@pytest.mark.parametrize("status", ["in_progress", "failed"])
async def test_only_a_completed_snapshot_can_be_restored(world: World, status: str) -> None:
    client = await world.a_client()
    snapshot = await world.a_snapshot(client, await world.a_server(client), status=status)
    assert (await client("POST", f"/snapshots/{snapshot}/restore/")).status_code == 400


async def test_a_deleted_snapshot_is_gone_at_once_and_its_making_cancelled(world: World) -> None:
    client = await world.a_client()
    snapshot = await world.a_snapshot(client, await world.a_server(client), status="in_progress")
    assert (await client("DELETE", f"/snapshots/{snapshot}/")).status_code == 204
    assert (await client("GET", f"/snapshots/{snapshot}/")).status_code == 404
    assert (await client("GET", "/snapshots/")).json()["count"] == 0
    kinds = await world.sql("SELECT kind, status FROM action WHERE kind LIKE 'snapshot.%' ORDER BY id")
    assert kinds == [("snapshot.create", "cancelled"), ("snapshot.delete", "running")]


async def test_the_snapshots_of_a_deleted_server_are_gone(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    snapshot = await world.a_snapshot(client, server)
    await client("DELETE", f"/servers/{server}/")
    assert (await client("GET", f"/snapshots/{snapshot}/")).status_code == 404
    assert (await client("GET", "/snapshots/")).json()["count"] == 0


async def test_a_server_and_a_snapshot_of_the_same_number_keep_their_actions_apart(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    await world.sql(f"ALTER TABLE snapshot ALTER COLUMN id RESTART WITH {server}")
    assert await world.a_snapshot(client, server, status="in_progress") == server
    kinds = [one["kind"] for one in (await client("GET", f"/servers/{server}/actions/")).json()["results"]]
    assert kinds == ["server.create"]


async def test_a_cell_without_room_for_it_keeps_no_more_snapshots(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    [(size,)] = await world.sql("SELECT storage_gb FROM server")
    await world.sql("UPDATE cell SET room_storage_gb = :room", room=2 * size)
    assert (await client("POST", f"/servers/{server}/snapshot/")).status_code == 201
    assert await world.sql("SELECT used_storage_gb FROM cell") == [(2 * size,)]
    answer = await client("POST", f"/servers/{server}/snapshot/")
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert "no room for another snapshot" in answer.json()["detail"]
    assert await world.sql("SELECT count(*) FROM snapshot") == [(1,)]
    async with world.database.begin() as conn:
        assert await consistency.miscounted_rooms(conn) == []
