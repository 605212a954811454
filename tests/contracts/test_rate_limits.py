"""Limits on how often a token may ask, and what it costs to know: counted here, settled in batches."""

import time
from dataclasses import dataclass

import pytest
from sqlalchemy import event

from factories import World
from openvps.accounts.rate_limit import RateLimit
from openvps.core.db import Database
from openvps.core.errors import TooMany

pytestmark = pytest.mark.anyio

NAMES = ("limit", "remaining", "reset")


@dataclass
class Clock:
    """A time that passes when told."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def remaining(limit: RateLimit, token_id: int) -> int:
    headers: list[tuple[bytes, bytes]] = []
    limit.take(token_id, headers)
    return int(dict(headers)[b"ratelimit-remaining"])


async def test_every_answer_to_a_token_says_where_it_stands(world: World) -> None:
    customer = await world.a_client()
    for left, (method, path) in enumerate((("GET", "/servers/"), ("GET", "/servers/0/"), ("POST", "/servers/"))):
        headers = (await customer(method, path)).headers
        assert [int(headers[f"ratelimit-{name}"]) for name in NAMES[:2]] == [3600, 3599 - left]
        assert 0 <= int(headers["ratelimit-reset"]) - time.time() <= left + 2
    assert "ratelimit-limit" not in (await world.http.get("/servers/")).headers


async def test_a_token_that_asked_too_often_waits_and_others_dont(world: World) -> None:
    world.app.state.rate_limit = RateLimit(an_hour=3600, burst=2)
    eager, other = await world.a_client(), await world.a_client(permissions=())
    assert [(await eager("GET", "/plans/")).status_code for _ in range(2)] == [200, 200]
    refused = await eager("GET", "/plans/")
    assert refused.status_code == 429
    assert "Try again in 1 s" in refused.json()["detail"]
    assert (refused.headers["retry-after"], refused.headers["ratelimit-remaining"]) == ("1", "0")
    # what is refused for want of a permission counts too
    assert [(await other("GET", "/plans/")).status_code for _ in range(3)] == [403, 403, 429]


def test_requests_come_back_evenly() -> None:
    clock = Clock()
    limit = RateLimit(an_hour=3600, burst=10, clock=clock)
    assert [remaining(limit, 1) for _ in range(10)] == list(range(9, -1, -1))
    with pytest.raises(TooMany):
        remaining(limit, 1)
    clock.now += 3
    assert [remaining(limit, 1) for _ in range(3)] == [2, 1, 0]
    clock.now += 3600
    assert remaining(limit, 1) == 9


async def test_processes_share_a_tokens_budget_once_they_settled(world: World) -> None:
    clock = Clock()
    one, two = (RateLimit(an_hour=36, burst=100, clock=clock) for _ in range(2))
    token_id = await _token(world)
    for _ in range(30):
        remaining(one, token_id)
    for _ in range(20):
        remaining(two, token_id)
    assert remaining(one, token_id) == 69  # they don't know of each other yet: the error that is stated
    await one.settle(world.database)
    await two.settle(world.database)
    assert remaining(two, token_id) == 48
    await two.settle(world.database)
    remaining(one, token_id)
    await one.settle(world.database)
    assert remaining(one, token_id) == 46
    third = RateLimit(an_hour=36, burst=100, clock=clock)
    assert remaining(third, token_id) == 99
    await third.settle(world.database)
    assert remaining(third, token_id) == 45


async def test_requests_made_while_settling_are_counted_once(world: World) -> None:
    clock = Clock()
    limit = RateLimit(an_hour=36, burst=100, clock=clock)
    token_id = await _token(world)
    remaining(limit, token_id)

    def in_between(*_: object) -> None:
        remaining(limit, token_id)

    database = world.app.state.database
    event.listen(database._engine.sync_engine, "commit", in_between, once=True)
    await limit.settle(database)
    assert remaining(limit, token_id) == 97
    await limit.settle(database)
    assert remaining(limit, token_id) == 96
    assert await world.sql("SELECT round(used::numeric) FROM token_use WHERE token_id = :id", id=token_id) == [(3,)]


async def test_a_database_that_is_away_loses_no_count(world: World) -> None:
    limit = RateLimit(an_hour=36, burst=100)
    token_id = await _token(world)
    assert remaining(limit, token_id) == 99
    away = Database("postgresql:///?host=/nonexistent")
    await limit.try_to_settle(away)
    await away.close()
    assert remaining(limit, token_id) == 98
    await limit.try_to_settle(world.database)
    assert await world.sql("SELECT round(used::numeric) FROM token_use WHERE token_id = :id", id=token_id) == [(2,)]


async def test_a_token_deleted_meanwhile_holds_up_no_other(world: World) -> None:
    limit = RateLimit(an_hour=36, burst=100)
    gone, stays = await _token(world), await _token(world)
    for token_id in (gone, stays):
        remaining(limit, token_id)
    await world.sql("DELETE FROM token WHERE id = :id", id=gone)
    await limit.settle(world.database)
    assert await world.sql("SELECT token_id FROM token_use") == [(stays,)]


async def test_reading_writes_nothing_and_the_last_use_is_known_after_a_settlement(world: World) -> None:
    customer = await world.a_client()
    written: list[str] = []

    def watch(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("SELECT"):
            written.append(statement)

    event.listen(world.app.state.database._engine.sync_engine, "before_cursor_execute", watch)
    before = time.time()
    for path in ("/servers/", "/plans/", "/account/me/"):
        assert (await customer("GET", path)).status_code == 200
    assert written == []
    await world.app.state.rate_limit.settle(world.app.state.database)
    ((at,),) = await world.sql(
        "SELECT extract(epoch FROM last_used_at) FROM token WHERE account_id = :id", id=customer.account_id
    )
    assert before - 1 <= float(at) <= time.time()


async def test_without_a_limit_there_are_no_headers_but_a_last_use(world: World) -> None:
    world.app.state.rate_limit = limit = RateLimit(an_hour=0, burst=1)
    customer = await world.a_client()
    answers = [await customer("GET", "/plans/") for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 200]
    assert "ratelimit-limit" not in answers[0].headers
    await limit.settle(world.database)
    ((at,),) = await world.sql("SELECT last_used_at FROM token WHERE account_id = :id", id=customer.account_id)
    assert at


async def test_the_process_settles_by_itself_when_it_ends(world: World) -> None:
    customer = await world.a_client()
    async with world.app.router.lifespan_context(world.app):
        await customer("GET", "/plans/")
    assert await world.sql("SELECT 1 FROM token WHERE last_used_at IS NOT NULL")


async def _token(world: World) -> int:
    customer = await world.a_client()
    ((token_id,),) = await world.sql("SELECT id FROM token WHERE account_id = :id", id=customer.account_id)
    return token_id
