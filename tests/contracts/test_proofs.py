"""Proofs of backups: asked for, and begun by themselves, the newest first and one a cell at a time."""

import pytest

from factories import World
from openvps.compute.backups import proof_wanted

pytestmark = pytest.mark.anyio


async def proved(world: World, days_ago: float = 0) -> None:
    """End the proof that is under way as the worker would, so long ago."""
    await world.sql(
        "UPDATE backup SET verify_cell_id = NULL, verify_deadline_at = NULL, look_at = NULL,"
        " verified_at = now() - make_interval(secs => :ago) WHERE verify_cell_id IS NOT NULL",
        ago=days_ago * 86400,
    )


async def under_way(world: World) -> list[int]:
    return [row.id for row in await world.sql("SELECT id FROM backup WHERE verify_cell_id IS NOT NULL ORDER BY id")]


async def test_a_proof_is_asked_for_once_and_only_of_what_is_stored(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    backup = await world.a_backup(client, server, status="in_progress")
    assert (await client("POST", f"/backups/{backup}/verify/")).status_code == 400
    await world.sql("UPDATE backup SET status = 'completed', look_at = NULL")
    answer = (await client("POST", f"/backups/{backup}/verify/")).json()
    assert (answer["id"], answer["verified_at"], answer["verify_error"]) == (backup, None, None)
    action = (await client("GET", f"/actions/{answer['action_id']}/")).json()
    assert (action["kind"], action["status"]) == ("backup.verify", "queued")
    assert (await client("POST", f"/backups/{backup}/verify/")).status_code == 400
    await proved(world)
    assert (await client("GET", f"/backups/{backup}/")).json()["verified_at"] is not None


async def test_the_newest_is_proved_first_one_at_a_time_and_each_again_within_seven_days(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    older, newer = await world.a_backup(client, server), await world.a_backup(client, server)
    assert await proof_wanted.schedule(world.database, days=7) == 0  # not while the night's are being made
    await world.sql("UPDATE backup SET created_at = now() - interval '2 hours'")
    assert [await proof_wanted.schedule(world.database, days=7) for _ in range(2)] == [1, 0]
    assert await under_way(world) == [newer]
    await proved(world)
    assert await proof_wanted.schedule(world.database, days=7) == 1
    assert await under_way(world) == [older]
    await proved(world, days_ago=5)
    assert await proof_wanted.schedule(world.database, days=7) == 0
    await world.sql("UPDATE backup SET verified_at = now() - interval '6 days 1 minute' WHERE id = :id", id=newer)
    assert await proof_wanted.schedule(world.database, days=0) == 0
    assert await proof_wanted.schedule(world.database, days=7) == 1
    assert await under_way(world) == [newer]


async def test_a_deleted_servers_backups_are_proved_as_well(world: World) -> None:
    client = await world.a_client()
    server = await world.a_server(client)
    backup = await world.a_backup(client, server)
    await world.sql("UPDATE backup SET created_at = now() - interval '2 hours', server_id = 1000000")
    assert await proof_wanted.schedule(world.database, days=7) == 1
    assert await under_way(world) == [backup]


async def test_what_a_new_server_of_a_backup_needs_is_told_field_by_field(world: World) -> None:
    client, stranger = await world.a_client(), await world.a_client()
    server = await world.a_server(client)
    backup = await world.a_backup(client, server)
    await world.sql("UPDATE backup SET size_bytes = 90000000000")
    body = {"name": "again", "plan_id": 1, "location": "us-west", "backup_id": backup, "os_id": 3, "user_data": "x"}
    answer = await client("POST", "/servers/", body)
    assert (answer.status_code, set(answer.json())) == (400, {"plan_id", "os_id", "user_data"})
    wanted = {"name": "again", "plan_id": 1, "location": "us-west", "backup_id": backup}
    answer = await stranger("POST", "/servers/", wanted)
    assert (answer.status_code, set(answer.json())) == (400, {"backup_id"})
    await world.sql("UPDATE backup SET size_bytes = 1000000000, status = 'failed'")
    assert set((await client("POST", "/servers/", wanted)).json()) == {"backup_id"}
    limited = await world.a_client(account_id=client.account_id, permissions=("servers:write",))
    assert (await limited("POST", "/servers/", wanted)).status_code == 403
    await world.sql("UPDATE backup SET status = 'completed'")
    assert (await client("POST", "/servers/", wanted)).status_code == 201
