"""`/backups/`: what is asked for, listed, and stays when its server is gone."""

import pytest

from factories import World

pytestmark = pytest.mark.anyio


async def test_a_backup_is_asked_for_and_listed(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    made = await client("POST", "/backups/", {"server_id": server, "description": "to 2.0"})
    assert made.status_code == 201
    shown = made.json()
    assert (shown["backup_type"], shown["status"], shown["size_mb"]) == ("manual", "in_progress", None)
    assert (shown["expires_at"], shown["description"]) == (None, "to 2.0")
    assert shown["server"] == {"id": server, "name": "web-1"}
    action = (await client("GET", f"/actions/{shown['action_id']}/")).json()
    assert (action["kind"], action["subject"]) == ("backup.create", {"type": "backup", "id": shown["id"]})
    kept = {key: shown[key] for key in set(shown) - {"message", "action_id"}}
    assert (await client("GET", f"/backups/{shown['uuid']}/")).json() == kept
    for query in ("", f"?server_id={server}", "?backup_type=manual"):
        assert (await client("GET", f"/backups/{query}")).json()["results"] == [kept], query
    for query in (f"?server_id={server + 1}", "?backup_type=automatic"):
        assert (await client("GET", f"/backups/{query}")).json()["results"] == [], query


async def test_one_at_a_time_a_server(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    backup = await world.a_backup(client, server, status="in_progress")
    assert (await client("POST", f"/servers/{server}/backup/", {})).status_code == 400
    await client("DELETE", f"/backups/{backup}/")
    assert (await client("POST", f"/servers/{server}/backup/", {})).status_code == 201


async def test_every_bad_parameter_is_named_and_anothers_server_is_none(world: World) -> None:
    client, stranger = await world.a_client(), await world.a_client()
    answer = await client("GET", "/backups/?server_id=x&backup_type=x")
    assert (answer.status_code, set(answer.json())) == (400, {"server_id", "backup_type"})
    answer = await stranger("POST", "/backups/", {"server_id": await world.a_server(client)})
    assert (answer.status_code, set(answer.json())) == (400, {"server_id"})


async def test_the_backups_of_a_deleted_server_stay(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    backup = await world.a_backup(client, server)
    await client("DELETE", f"/servers/{server}/")
    assert (await client("GET", f"/backups/{backup}/")).json()["server"] == {"id": server, "name": "web-1"}
    assert (await client("GET", f"/backups/?server_id={server}")).json()["count"] == 1


async def test_a_deleted_backup_is_gone_at_once_and_its_making_cancelled(world: World) -> None:
    client = await world.a_client()
    backup = await world.a_backup(client, await world.a_server(client), status="in_progress")
    assert (await client("DELETE", f"/backups/{backup}/")).status_code == 204
    assert (await client("GET", f"/backups/{backup}/")).status_code == 404
    kinds = await world.sql("SELECT kind, status FROM action WHERE kind LIKE 'backup.%' ORDER BY id")
    assert kinds == [("backup.create", "cancelled"), ("backup.delete", "running")]
