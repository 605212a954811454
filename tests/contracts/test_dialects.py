"""Both published dialects make the same server, and a dry run makes none."""

from typing import Any

import pytest

from factories import ED25519, Client, World

pytestmark = pytest.mark.anyio

OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMcxmVz1Wt0bz3OiCZe8FzhQnlp+u/pnZEUbM9gvvN1T"
WEB = {"name": "web-1", "plan_id": 3, "os_id": 3, "location": "us-west"}


async def names(world: World) -> dict[str, Any]:
    [(plan, system, place)] = await world.sql(
        "SELECT p.uuid, s.uuid, l.id FROM plan p, system s, location l WHERE p.id = 3 AND s.id = 3 LIMIT 1"
    )
    return {"plan": str(plan), "os_version": str(system), "location": place}


async def a_key(client: Client, line: str = ED25519) -> dict[str, Any]:
    return (await client("POST", "/ssh-keys/", {"name": "key", "public_key": line})).json()


async def test_the_clients_dialect_makes_the_same_server(world: World) -> None:
    client = await world.a_client()
    one = (await client("POST", "/servers/", WEB)).json()
    other = (await client("POST", "/servers/", await names(world) | {"hostname": "web-1.example.com"})).json()
    for key in ("name", "plan", "os", "location", "status", "backups_enabled"):
        assert one[key] == other[key], key
    assert other["hostname"] == "web-1.example.com"


async def test_integers_and_uuids_stand_in_either_field(world: World) -> None:
    client = await world.a_client()
    uuids = await names(world)
    body = WEB | {"plan_id": uuids["plan"], "os_id": uuids["os_version"]}
    assert (await client("POST", "/servers/", body)).json()["plan"]["id"] == 3
    body = {"name": "web-2", "plan": 3, "os_version": 3, "location": uuids["location"]}
    assert (await client("POST", "/servers/", body)).json()["location"] == "us-west"


async def test_both_names_for_the_same_thing_are_fine(world: World) -> None:
    client = await world.a_client()
    uuids = await names(world)
    answer = await client("POST", "/servers/", WEB | {"plan": uuids["plan"], "os_version": uuids["os_version"]})
    assert answer.status_code == 201


async def test_both_names_for_different_things_are_400(world: World) -> None:
    client = await world.a_client()
    first, second = await a_key(client), await a_key(client, OTHER_KEY)
    body = WEB | {"plan": 1, "os_version": 5, "ssh_key_id": first["id"], "ssh_keys": [second["uuid"]]}
    answer = await client("POST", "/servers/", body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"plan", "os_version", "ssh_keys"}


async def test_several_keys_are_installed(world: World) -> None:
    client = await world.a_client()
    first, second = await a_key(client), await a_key(client, OTHER_KEY)
    number = await world.a_server(client, ssh_keys=[second["uuid"], first["id"]])
    [(lines,)] = await world.sql("SELECT authorized_keys FROM server WHERE id = :id", id=number)
    assert {line.split()[1] for line in lines} == {ED25519.split()[1], OTHER_KEY.split()[1]}


async def test_an_unknown_or_anothers_key_is_named(world: World) -> None:
    client, other = await world.a_client(), await world.a_client()
    theirs = await a_key(other)
    answer = await client("POST", "/servers/", WEB | {"ssh_keys": [theirs["uuid"], 999]})
    assert answer.status_code == 400
    assert len(answer.json()["ssh_keys"]) == 2


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"name", "plan_id", "os_id", "location"}),
        ({"plan": "x", "os_version": True, "location": True, "ssh_keys": "x"}, None),
        ({"hostname": "web"}, {"plan_id", "os_id", "location"}),
        (WEB | {"plan_id": 99}, {"plan_id"}),
        (WEB | {"plan": 99, "plan_id": None}, {"plan"}),
    ],
)
async def test_what_is_missing_or_wrong_is_named(world: World, body: Any, fields: set[str] | None) -> None:
    client = await world.a_client()
    answer = await client("POST", "/servers/", body)
    assert answer.status_code == 400
    assert set(answer.json()) == (fields or {"name", "plan", "os_version", "location", "ssh_keys"})


async def test_a_dry_run_tells_the_price_and_makes_nothing(world: World) -> None:
    client = await world.a_client()
    answer = await client("POST", "/servers/?dry_run=true", WEB)
    assert answer.status_code == 200
    assert answer.json() == {
        "dry_run": True,
        "possible": True,
        "price": {"currency": "USD", "monthly": 5.0, "hourly": 0.007, "held": 0.18, "held_hours": 24},
        "refusals": [],
    }
    assert await world.sql("SELECT (SELECT count(*) FROM server) + (SELECT count(*) FROM action)") == [(0,)]
    assert await world.sql(
        "SELECT (SELECT count(*) FROM ledger_hold) + (SELECT count(*) FROM procrastinate_jobs)"
    ) == [(0,)]
    assert await world.sql("SELECT used_vcpus, used_memory_mib FROM cell") == [(0, 0)]


async def test_a_dry_run_tells_everything_that_would_be_refused(world: World) -> None:
    client = await world.a_client(credit=0)
    await world.sql("UPDATE account SET max_servers = 0 WHERE id = :id", id=client.account_id)
    await world.sql("UPDATE cell SET room_vcpus = 0")
    told = (await client("POST", "/servers/?dry_run=true", WEB)).json()
    assert not told["possible"]
    assert [one["status"] for one in told["refusals"]] == [400, 402, 503]
    wrong = (await client("POST", "/servers/?dry_run=true", WEB | {"plan_id": 99, "name": "_"})).json()
    assert set(wrong["refusals"][0]["texts"]) == {"plan_id", "name"}
    assert wrong["price"] is None


async def test_a_dry_run_is_yes_or_no(world: World) -> None:
    client = await world.a_client()
    answer = await client("POST", "/servers/?dry_run=perhaps", WEB)
    assert answer.status_code == 400
    assert "dry_run" in answer.json()
