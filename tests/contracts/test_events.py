"""What happens is told in the order it was committed, to who reads, follows, or comes again."""

import asyncio
from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from factories import Client, World
from openvps.actions import queries as actions
from openvps.actions.events import feeds, queries
from openvps.actions.events.shape import KINDS
from openvps.billing import notices
from streams import Follower, Streamed, followed, following, served

pytestmark = pytest.mark.anyio


@pytest.fixture
async def url(world: World) -> AsyncGenerator[str]:
    async with served(world) as url:
        yield url


async def kinds(client: Client, **query: Any) -> list[str]:
    return [one["kind"] for one in (await client("GET", "/events/", params=query)).json()["results"]]


async def some(follow: Follower, number: int) -> list[Streamed]:
    return [said for _ in range(number) if (said := await follow())]


async def test_a_servers_life_is_told_in_order(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    await client("POST", f"/servers/{number}/stop/")
    await client("DELETE", f"/servers/{number}/")
    told = (await client("GET", "/events/")).json()
    assert told["count"] == len(told["results"]) == 9
    assert [one["id"] for one in told["results"]] == list(range(1, 10))
    assert {one["server_id"] for one in told["results"]} == {number}
    assert [one["kind"] for one in told["results"]] == [
        "server.created",
        "action.begun",
        "server.status",
        "action.completed",
        "server.status",
        "action.begun",
        "server.status",
        "action.cancelled",
        "action.begun",
    ]
    first, status = told["results"][0], told["results"][2]
    assert first["data"]["server"]["status"] == "provisioning"
    assert status["data"] == {
        "server": {**first["data"]["server"], "status": "active"},
        "previous_status": "provisioning",
        "error": None,
    }
    assert told["results"][7]["data"]["action"]["error"]


async def test_backups_and_notices_are_told(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    backup = await world.a_backup(client, number)
    await world.sql("UPDATE backup SET status = 'failed', error = 'No room.' WHERE id = :id", id=backup)
    async with world.database.begin() as conn:
        await notices.add(conn, client.account_id, "low", "Add credit.")
    told = (await client("GET", "/events/?kind=backup.completed,backup.failed,account.notice")).json()["results"]
    assert [one["kind"] for one in told] == ["backup.completed", "backup.failed", "account.notice"]
    assert told[1]["data"]["backup"]["error"] == "No room."
    assert [one["server_id"] for one in told] == [number, number, None]
    assert told[2]["data"]["notice"]["text"] == "Add credit."
    seen = set(await kinds(client, page_size=100))
    assert seen <= set(KINDS)


async def test_a_backups_proof_is_told(world: World) -> None:
    client = await world.a_client()
    backup = await world.a_backup(client, await world.a_server(client))
    await world.sql("UPDATE backup SET verify_failed_at = now(), verify_error = 'It did not boot.'")
    await world.sql("UPDATE backup SET verified_at = now(), verify_failed_at = NULL, verify_error = NULL")
    await world.sql("UPDATE backup SET verified_at = NULL")
    told = (await client("GET", "/events/?kind=backup.verified,backup.verify_failed")).json()["results"]
    assert [(one["kind"], one["data"]["backup"]["error"]) for one in told] == [
        ("backup.verify_failed", "It did not boot."),
        ("backup.verified", None),
    ]
    assert {one["data"]["backup"]["id"] for one in told} == {backup}


async def test_what_is_rolled_back_is_not_told_and_takes_no_number(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    before = (await client("GET", "/events/")).json()["count"]

    async with world.database.begin() as conn:
        await actions.begin(
            conn, account_id=client.account_id, kind="server.stop", subject_id=number, exclusive=False
        )
        await conn.rollback()
    await world.sql("UPDATE server SET status = 'stopped' WHERE id = :id", id=number)
    [told] = (await client("GET", f"/events/?after={before}")).json()["results"]
    assert (told["id"], told["kind"]) == (before + 1, "server.status")


async def test_who_resumes_while_many_commit_out_of_order_misses_none(world: World, database_url: str) -> None:
    """Ids from a sequence are taken long before the commit; a reader between would pass them by."""
    client = await world.a_client()
    async with (
        await psycopg.AsyncConnection.connect(database_url) as slow,
        await psycopg.AsyncConnection.connect(database_url) as fast,
    ):
        add = "INSERT INTO notice (account_id, kind, text) VALUES (%s, 'low', %s)"
        await slow.execute(add, (client.account_id, "begun first"))
        await fast.execute(add, (client.account_id, "committed first"))
        await fast.commit()
        [first] = (await client("GET", "/events/")).json()["results"]
        await slow.commit()
    [second] = (await client("GET", f"/events/?after={first['id']}")).json()["results"]
    assert [one["data"]["notice"]["text"] for one in (first, second)] == ["committed first", "begun first"]


async def test_many_writers_at_once_leave_no_gap_and_no_deadlock(world: World) -> None:
    client = await world.a_client()

    async def write(name: int) -> None:
        for turn in range(5):
            async with world.database.begin() as conn:
                await notices.add(conn, client.account_id, "low", f"{name}.{turn}")
                await notices.add(conn, client.account_id, "low", f"{name}.{turn}")

    await asyncio.gather(*(write(name) for name in range(8)))
    told = [one for n in (1, 2) for one in (await client("GET", f"/events/?page={n}&page_size=50")).json()["results"]]
    assert [one["id"] for one in told] == list(range(1, 81))
    texts = [one["data"]["notice"]["text"] for one in told]
    assert all(one == other for one, other in list(pairwise(texts))[::2])  # a transaction's stay together


async def test_a_stream_tells_as_it_happens_to_its_account_only(world: World, url: str) -> None:
    client, other = await world.a_client(), await world.a_client()
    async with following(url, client) as follow:
        assert follow.answer.headers["content-type"].startswith("text/event-stream")
        assert follow.answer.headers["cache-control"] == "no-store"
        await followed(world, client)
        await world.a_server(other)
        number = await world.a_server(client)
        told = await some(follow, 4)
    assert [one.name for one in told] == ["server.created", "action.begun", "server.status", "action.completed"]
    assert [one.number for one in told] == [1, 2, 3, 4]
    assert {one.data["server_id"] for one in told} == {number}
    assert told[0].data["kind"] == "server.created"


async def test_who_comes_again_goes_on_where_it_was(world: World, url: str) -> None:
    client = await world.a_client()
    await world.a_server(client)
    async with following(url, client, headers={"Last-Event-ID": "1"}) as follow:
        told = await some(follow, 3)
        await world.a_server(client)
        told += await some(follow, 4)
    assert [one.number for one in told] == [2, 3, 4, 5, 6, 7, 8]
    async with following(url, client, after=6) as follow:
        assert [one.number for one in await some(follow, 2)] == [7, 8]


async def test_a_stream_may_have_some_kinds_of_one_server_only(world: World, url: str) -> None:
    client = await world.a_client()
    await world.a_server(client)
    number = await world.a_server(client)
    async with following(url, client, after=0, server_id=number, kind="server.created,server.deleted") as follow:
        await world.a_server(client)
        await world.sql("UPDATE server SET look_at = NULL")
        await client("DELETE", f"/servers/{number}/")
        await world.sql("DELETE FROM address WHERE server_id = :id", id=number)
        await world.sql("DELETE FROM server WHERE id = :id", id=number)
        told = await some(follow, 2)
    assert [(one.name, one.data["server_id"]) for one in told] == [
        ("server.created", number),
        ("server.deleted", number),
    ]
    assert await kinds(client, server_id=number, kind="server.created") == ["server.created"]


async def test_who_is_far_behind_gets_all_of_it(world: World, url: str) -> None:
    client = await world.a_client()
    async with world.database.begin() as conn:
        for turn in range(feeds.KEPT + feeds.READ + 7):
            await notices.add(conn, client.account_id, "low", str(turn))
    async with following(url, client, after=0) as behind, following(url, client) as live:
        await followed(world, client, 2)
        async with world.database.begin() as conn:
            for turn in range(3):
                await notices.add(conn, client.account_id, "low", str(turn))
        total = feeds.KEPT + feeds.READ + 10
        assert [one.number for one in await some(behind, total)] == list(range(1, total + 1))
        assert [one.number for one in await some(live, 3)] == [total - 2, total - 1, total]


async def test_who_was_away_too_long_is_told_what_is_missing(world: World, url: str) -> None:
    client = await world.a_client()
    await world.a_server(client)
    await world.sql("ALTER TABLE event DISABLE TRIGGER event_kept")
    await world.sql("DELETE FROM event WHERE number < 4")
    async with following(url, client, after=1) as follow:
        gap, last = await some(follow, 2)
    assert (gap.name, gap.number, gap.data) == ("missed", None, {"after": 1, "before": 4})
    assert last.number == 4
    async with following(url, client, after=99) as follow:  # of a database that was put back since
        assert [one.data for one in await some(follow, 1)] == [{"after": 99, "before": 5}]


async def test_old_events_are_forgotten_and_young_ones_never(world: World) -> None:
    client = await world.a_client()
    await world.a_server(client)
    await world.sql("ALTER TABLE event DISABLE TRIGGER event_unchanged")
    await world.sql("UPDATE event SET created_at = now() - interval '8 days' WHERE number < 3")
    async with world.database.begin() as conn:
        assert await queries.forget_old(conn, 7, limit=1) == 1
        assert await queries.forget_old(conn, 7, limit=10) == 1
    assert [one["id"] for one in (await client("GET", "/events/")).json()["results"]] == [3, 4]
    await world.sql("ALTER TABLE event ENABLE TRIGGER event_unchanged")
    for statement in ("DELETE FROM event", "UPDATE event SET kind = 'x'"):
        with pytest.raises(Exception, match="events are not"):
            await world.sql(statement)


async def test_a_stream_ends_with_its_token(world: World, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "CHECK_S", 0.1)
    client = await world.a_client()
    other = await world.a_client(account_id=client.account_id)
    async with following(url, client) as follow, following(url, other) as stays:
        await followed(world, client, 2)
        await world.sql(
            "UPDATE token SET revoked_at = now() WHERE id = (SELECT min(id) FROM token WHERE account_id = :id)",
            id=client.account_id,
        )
        assert await follow() is None
        await world.a_server(other)
        assert (await some(stays, 1))[0].name == "server.created"


async def test_a_stream_ends_when_its_token_expires(world: World, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "CHECK_S", 0.1)
    client = await world.a_client()
    async with following(url, client) as follow:
        await world.sql("UPDATE token SET expires_at = now() + interval '300 ms'")
        assert await follow() is None


async def test_nothing_new_is_said_from_time_to_time(world: World, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "HEARTBEAT_S", 0.1)
    client = await world.a_client()
    async with following(url, client) as follow:
        assert [one.comment for one in await some(follow, 2)] == ["nothing new"] * 2


async def test_word_that_was_lost_costs_no_event(world: World, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "CHECK_S", 0.1)
    client = await world.a_client()
    async with following(url, client) as follow:
        await followed(world, client)
        await world.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        await world.a_server(client)
        assert len(await some(follow, 4)) == 4


async def test_a_token_has_so_many_streams_and_gets_them_back(world: World, url: str) -> None:
    world.app.state.feeds._a_token = 2
    client = await world.a_client()
    async with following(url, client), following(url, client):
        await followed(world, client, 2)
        async with following(url, client) as third:
            assert third.answer.status_code == 429
            assert third.answer.headers["Retry-After"]
    await followed(world, client, 0)
    async with following(url, client) as again:
        assert again.answer.status_code == 200


async def test_streams_end_with_the_process_which_waits_for_none(world: World) -> None:
    client = await world.a_client()
    async with served(world) as url:
        open_one = following(url, client)
        follow = await open_one.__aenter__()
        await followed(world, client)
    assert await follow() is None
    await open_one.__aexit__(None, None, None)


async def test_a_head_has_no_stream(world: World, url: str) -> None:
    client = await world.a_client()
    headers = {"Authorization": f"Bearer {client.token}", "Accept": "text/event-stream"}
    async with asyncio.timeout(5):
        assert (await world.http.head(f"{url}/events/", headers=headers)).status_code == 200


@pytest.mark.parametrize("query", ["after=x", "after=-1", "server_id=web", "kind=server.exploded", "kind="])
async def test_what_no_event_has_is_400(world: World, query: str) -> None:
    client = await world.a_client()
    for accept in ("application/json", "text/event-stream"):
        answer = await client("GET", f"/events/?{query}", headers={"Accept": accept})
        assert answer.status_code == 400
        assert query.partition("=")[0] in answer.json()
