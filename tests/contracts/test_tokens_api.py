"""`/tokens/`: made with as much as oneself or less, shown once, revoked at once."""

import asyncio
from typing import Any

import pytest

from factories import World

pytestmark = pytest.mark.anyio

SHOWN = {"id", "uuid", "name", "permissions", "created_at", "expires_at", "last_used_at", "revoked"}


async def make(client: Any, *permissions: str, **more: Any) -> Any:
    return await client("POST", "/tokens/", {"name": "script", "permissions": list(permissions), **more})


async def test_a_token_is_made_used_listed_shown_and_revoked(world: World) -> None:
    owner = await world.a_client()
    made = (await make(owner, "servers:read")).json()
    assert set(made) == SHOWN | {"token"}
    script = await world.a_client(account_id=owner.account_id)
    script.token = made.pop("token")
    assert (await script("GET", "/servers/")).status_code == 200
    assert (await script("GET", "/ssh-keys/")).status_code == 403
    await world.app.state.rate_limit.settle(world.database)  # last uses are written in batches
    listed = (await owner("GET", "/tokens/")).json()
    assert listed["count"] == 3
    [mine] = [one for one in listed["results"] if one["id"] == made["id"]]
    assert mine == made | {"last_used_at": mine["last_used_at"]}
    assert mine["last_used_at"] is not None
    assert (await owner("GET", f"/tokens/{made['uuid']}/")).json() == mine
    assert (await owner("DELETE", f"/tokens/{made['id']}/")).status_code == 204
    refused = await script("GET", "/servers/")
    assert refused.status_code == 401
    assert "revoked" in refused.json()["detail"]
    assert (await owner("GET", f"/tokens/{made['id']}/")).json()["revoked"] is True
    assert (await owner("DELETE", f"/tokens/{made['id']}/")).status_code == 204


async def test_a_token_may_revoke_itself(world: World) -> None:
    owner = await world.a_client()
    [mine] = (await owner("GET", "/tokens/")).json()["results"]
    assert (await owner("DELETE", f"/tokens/{mine['id']}/")).status_code == 204
    assert (await owner("GET", "/tokens/")).status_code == 401


@pytest.mark.parametrize(
    ("granted", "wanted", "status"),
    [
        (["tokens:write", "servers:read"], ["servers:read"], 201),
        (["tokens:write", "servers:read"], ["servers:write"], 400),
        (["tokens:write", "servers:read"], ["servers:*"], 400),
        (["tokens:write", "servers:read", "servers:write"], ["servers:*"], 400),
        (["tokens:write", "servers:*"], ["servers:*", "servers:read", "servers:write"], 201),
        (["tokens:write", "servers:*"], ["*:*"], 400),
        (["tokens:write", "servers:*"], ["*:read"], 400),
        (["tokens:*"], ["tokens:write"], 201),
        (["*:*"], ["*:*"], 201),
        (["*:*"], ["*:read", "dns:*"], 201),
        (["*:*"], ["accounts:read"], 400),
        (["*:*"], ["servers:reed"], 400),
        (["*:*"], ["servers"], 400),
        (["*:*"], [], 400),
        (["*:*"], "servers:read", 400),
        (["*:*"], [7], 400),
    ],
)
async def test_a_token_makes_only_what_it_may_itself(
    world: World, granted: list[str], wanted: object, status: int
) -> None:
    owner = await world.a_client(permissions=tuple(granted))
    answer = await owner("POST", "/tokens/", {"name": "script", "permissions": wanted})
    assert answer.status_code == status, answer.text
    if status == 400:
        assert set(answer.json()) == {"permissions"}


async def test_an_unknown_permission_is_answered_with_the_known_ones(world: World) -> None:
    [text] = (await make(await world.a_client(), "servers:reed")).json()["permissions"]
    assert "'servers:reed'" in text
    assert "servers:read, servers:write, ssh_keys:read" in text
    assert "accounts:" not in text
    [text] = (await make(await world.a_client(operator=True), "servers:reed")).json()["permissions"]
    assert "accounts:read" in text


async def test_an_operators_right_must_be_named(world: World) -> None:
    everything = await world.a_client(operator=True)
    assert (await everything("GET", "/admin/accounts/")).status_code == 403
    assert (await make(everything, "accounts:read")).status_code == 400
    operator = await world.a_client(permissions=("*:*", "accounts:*"), account_id=everything.account_id)
    assert (await make(operator, "accounts:read")).status_code == 201
    pretender = await world.a_client(permissions=("*:*", "accounts:*"))
    assert (await pretender("GET", "/admin/accounts/")).status_code == 403


async def test_an_expired_token_is_refused_and_one_in_the_past_not_made(world: World) -> None:
    owner = await world.a_client()
    past = await make(owner, "servers:read", expires_at="2020-01-01T00:00:00Z")
    naive = await make(owner, "servers:read", expires_at="2099-01-01T00:00:00")
    assert (past.status_code, set(past.json())) == (400, {"expires_at"})
    assert (naive.status_code, set(naive.json())) == (400, {"expires_at"})
    for far in ("9999-12-31T23:59:59-23:59", 10**11):
        assert (await make(owner, "servers:read", expires_at=far)).status_code == 400
    made = (await make(owner, "servers:read", expires_at="2099-01-01T02:00:00+02:00")).json()
    assert made["expires_at"] == "2099-01-01T00:00:00Z"
    owner.token = made["token"]
    assert (await owner("GET", "/servers/")).status_code == 200
    await world.sql("UPDATE token SET expires_at = now() WHERE id = :id", id=made["id"])
    assert (await owner("GET", "/servers/")).status_code == 401


async def test_every_bad_field_is_named_at_once(world: World) -> None:
    answer = await (await world.a_client())(
        "POST", "/tokens/", {"name": "a\nb", "permissions": ["x"], "expires_at": "y"}
    )
    assert (answer.status_code, set(answer.json())) == (400, {"name", "permissions", "expires_at"})


async def test_a_replay_does_not_show_the_token_again(world: World) -> None:
    owner = await world.a_client()
    body, key = {"name": "script", "permissions": ["servers:read"]}, {"Idempotency-Key": "a"}
    first = (await owner("POST", "/tokens/", body, headers=key)).json()
    again = (await owner("POST", "/tokens/", body, headers=key)).json()
    assert again["id"] == first["id"]
    assert again["token"] is None
    assert "token" in again["not_repeated"]


async def test_no_text_of_a_token_is_in_the_database(world: World) -> None:
    owner = await world.a_client()
    text = (await make(owner, "servers:read")).json()["token"]
    for table in ("token", "audit_entry", "idempotency_key"):
        rows = await world.sql(f"SELECT t::text FROM {table} t")
        assert not [row for (row,) in rows if text in row or text.encode().hex() in row]


async def test_wrong_tokens_are_throttled_and_a_good_one_is_not(world: World) -> None:
    owner = await world.a_client()
    allowed = world.config.failures_allowed
    wrong = [{"Authorization": "Bearer vps_wrong"}] * allowed
    answers = await asyncio.gather(*(world.http.get("/servers/", headers=one) for one in wrong))
    assert {one.status_code for one in answers} == {401}
    refused = await world.http.get("/servers/", headers=wrong[0])
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 601
    assert (await world.http.get("/servers/")).status_code == 401  # no token is no guess
    assert (await owner("GET", "/servers/")).status_code == 200
