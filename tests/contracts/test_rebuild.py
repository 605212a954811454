"""`POST /servers/{id}/rebuild/`: what is checked before a server's disk is made anew."""

from typing import Any

import pytest

from factories import World
from openvps.compute.servers.states import STATUSES, TRANSITIONS
from openvps.compute.systems import queries as systems

pytestmark = pytest.mark.anyio


async def test_a_rebuild_is_of_the_newest_image_and_the_rest_stays(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    before = (await client("GET", f"/servers/{server}/")).json()
    async with world.database.begin() as conn:
        await systems.add_image(conn, cell_id=world.cell_id, system_id=5, fingerprint="e" * 64)
    answer = await client("POST", f"/servers/{server}/rebuild/", {"os_id": 5})
    assert (answer.status_code, answer.json()["server"]["status"]) == (200, "rebuilding")
    action = (await client("GET", f"/actions/{answer.json()['action_id']}/")).json()
    assert (action["kind"], action["subject"]["id"]) == ("server.rebuild", server)
    after = (await client("GET", f"/servers/{server}/")).json()
    assert after["os"]["id"] == 5
    for key in ("ip_address", "ipv6_addresses", "name", "hostname", "plan"):
        assert after[key] == before[key], key
    told = await world.sql("SELECT restores, restore_from, wanted FROM server WHERE id = :id", id=server)
    assert told == [(1, "image", "running")]


@pytest.mark.parametrize("body", [{}, {"os_id": 999}, {"os_id": 5}, {"os_id": "x"}, {"os_id": None}])
async def test_a_system_that_is_unknown_or_has_no_image_is_named(world: World, body: Any) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    answer = await client("POST", f"/servers/{server}/rebuild/", body)
    assert (answer.status_code, set(answer.json())) == (400, {"os_id"})


async def test_a_server_with_snapshots_is_not_rebuilt(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    snapshot = await world.a_snapshot(client, server)
    refused = await client("POST", f"/servers/{server}/rebuild/", {"os_id": 3})
    assert refused.status_code == 400
    assert "snapshots" in refused.json()["detail"]
    await client("DELETE", f"/snapshots/{snapshot}/")
    assert (await client("POST", f"/servers/{server}/rebuild/", {"os_id": 3})).status_code == 200


async def test_a_rebuild_is_refused_in_every_status_that_does_not_allow_it(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    for status in STATUSES - TRANSITIONS["rebuild"].allowed:
        await world.sql("UPDATE server SET status = :status WHERE id = :id", status=status, id=server)
        assert (await client("POST", f"/servers/{server}/rebuild/", {"os_id": 3})).status_code == 400, status
