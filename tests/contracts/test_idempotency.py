"""A POST repeated with its key is done once, and answered as the first time."""

import asyncio

import pytest

from factories import World
from openvps.accounts import kept_answers

pytestmark = pytest.mark.anyio

WEB = {"name": "web-1", "plan_id": 3, "os_id": 3, "location": "us-west"}
KEY = {"Idempotency-Key": "order-1"}


async def test_a_repeated_create_makes_one_server(world: World) -> None:
    client = await world.a_client()
    first = await client("POST", "/servers/", WEB, headers=KEY)
    again = await client("POST", "/servers/", WEB, headers=KEY)
    assert first.status_code == again.status_code == 201
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert (await client("GET", "/servers/")).json()["count"] == 1


async def test_two_at_the_same_instant_make_one_server(world: World) -> None:
    client = await world.a_client()
    answers = await asyncio.gather(*(client("POST", "/servers/", WEB, headers=KEY) for _ in range(6)))
    assert {one.status_code for one in answers} <= {201, 409}
    assert all(one.headers["Retry-After"] for one in answers if one.status_code == 409)
    assert len({one.json()["id"] for one in answers if one.status_code == 201}) == 1
    assert (await client("GET", "/servers/")).json()["count"] == 1


async def test_another_request_with_the_same_key_is_409(world: World) -> None:
    client = await world.a_client()
    await client("POST", "/servers/", WEB, headers=KEY)
    answer = await client("POST", "/servers/", WEB | {"name": "web-2"}, headers=KEY)
    assert answer.status_code == 409
    assert "another request" in answer.json()["detail"]


async def test_a_refusal_is_not_kept(world: World) -> None:
    client = await world.a_client()
    wrong = await client("POST", "/servers/", WEB | {"name": "_"}, headers=KEY)
    right = await client("POST", "/servers/", WEB, headers=KEY)
    assert (wrong.status_code, right.status_code) == (400, 201)


async def test_a_key_is_its_accounts(world: World) -> None:
    one, other = await world.a_client(), await world.a_client()
    first = await one("POST", "/servers/", WEB, headers=KEY)
    second = await other("POST", "/servers/", WEB, headers=KEY)
    assert first.json()["id"] != second.json()["id"]


async def test_a_key_is_over_after_a_day(world: World) -> None:
    client = await world.a_client()
    first = await client("POST", "/servers/", WEB, headers=KEY)
    await world.sql("UPDATE idempotency_key SET created_at = now() - interval '24 hours 1 second'")
    second = await client("POST", "/servers/", WEB, headers=KEY)
    assert first.json()["id"] != second.json()["id"]


async def test_a_secret_is_not_kept_and_the_replay_says_so(world: World) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    first = await client("POST", f"/servers/{number}/reset-password/", headers=KEY)
    again = await client("POST", f"/servers/{number}/reset-password/", headers=KEY)
    assert first.json()["password"]
    assert again.json()["password"] is None
    assert "shown once" in again.json()["not_repeated"]["password"]
    [(kept,)] = await world.sql("SELECT answer FROM idempotency_key")
    assert first.json()["password"].encode() not in bytes(kept)


async def test_a_key_that_is_no_key_is_400(world: World) -> None:
    client = await world.a_client()
    for key in ("", "x" * 256):
        answer = await client("POST", "/servers/", WEB, headers={"Idempotency-Key": key})
        assert answer.status_code == 400
        assert "Idempotency-Key" in answer.json()


async def test_answers_that_are_over_are_forgotten_and_others_are_not(world: World) -> None:
    client = await world.a_client()
    await client("POST", "/servers/", WEB, headers=KEY)
    await world.sql("UPDATE idempotency_key SET created_at = now() - interval '25 hours'")
    await client("POST", "/servers/", WEB, headers={"Idempotency-Key": "order-2"})
    async with world.database.begin() as conn:
        await kept_answers.forget_old(conn)
    assert await world.sql("SELECT key FROM idempotency_key") == [("order-2",)]
