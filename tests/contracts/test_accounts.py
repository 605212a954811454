"""`/admin/accounts/`, `/login/` and invites: who gets in, who no longer does, and what stays of whom is gone."""

import asyncio
import itertools
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from factories import ED25519, Client, World
from openvps.accounts.admin import manage

pytestmark = pytest.mark.anyio

NUMBERS = itertools.count(1)
PASSWORD = "four words nobody guesses"
WEB = {"name": "web-1", "plan_id": 3, "os_id": 3, "location": "us-west"}
WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
SHOWN = set(
    "id uuid email first_name last_name company_name is_operator max_servers max_vcpus creates_an_hour has_password "
    "invite_expires_at disabled_at disabled_reason suspended_at suspended_reason empty_at unpaid_at servers_end_at "
    "created_at second_factor".split()
)


async def an_operator(world: World) -> Client:
    return await world.a_client(operator=True, permissions=("*:*", "accounts:*"))


async def a_customer(operator: Client, **fields: Any) -> dict[str, Any]:
    made = await operator("POST", "/admin/accounts/", {"email": f"new{next(NUMBERS)}@example.com", **fields})
    assert made.status_code == 201, made.text
    return made.json()


async def sign_in(world: World, email: str, password: str = PASSWORD) -> Any:
    return await world.http.post("/login/", json={"email": email, "password": password})


async def signed_in(world: World, email: str) -> Client:
    made = (await sign_in(world, email)).json()
    return Client(0, made["token"], world.http)


async def test_an_invite_sets_the_password_once_and_then_one_signs_in(world: World) -> None:
    operator = await an_operator(world)
    made = await a_customer(operator, email="Ada@Example.com", first_name="Ada")
    assert set(made) == SHOWN | {"invite"}
    assert (made["email"], made["has_password"]) == ("ada@example.com", False)
    assert (await sign_in(world, "ada@example.com")).status_code == 401
    body = {"invite": made["invite"], "password": PASSWORD}
    accepted = await world.http.post("/account/accept-invite/", json=body)
    assert (accepted.status_code, accepted.json()) == (200, {"email": "ada@example.com"})
    again = await world.http.post("/account/accept-invite/", json=body)
    assert (again.status_code, set(again.json())) == (400, {"invite"})
    answer = await sign_in(world, " ADA@example.com")
    assert answer.status_code == 201
    customer = Client(0, answer.json()["token"], world.http)
    assert (await customer("GET", "/account/me/")).json()["account"]["first_name"] == "Ada"
    assert (await customer("GET", "/admin/accounts/")).status_code == 403
    [hours] = await world.sql(
        "SELECT extract(epoch FROM expires_at - created_at) / 3600 FROM token WHERE id = :id", id=answer.json()["id"]
    )
    assert round(hours[0]) == 12


async def test_an_invite_ends_after_seven_days_and_with_a_newer_one(world: World) -> None:
    operator = await an_operator(world)
    made = await a_customer(operator)
    newer = (await operator("POST", f"/admin/accounts/{made['id']}/invite/")).json()
    for invite, status in ((made["invite"], 400), (newer["invite"], 200)):
        answer = await world.http.post("/account/accept-invite/", json={"invite": invite, "password": PASSWORD})
        assert answer.status_code == status
    late = await a_customer(operator)
    await world.sql("UPDATE account SET invite_expires_at = now() WHERE id = :id", id=late["id"])
    answer = await world.http.post("/account/accept-invite/", json={"invite": late["invite"], "password": PASSWORD})
    assert answer.status_code == 400


async def test_an_invite_is_used_once_even_at_the_same_instant(world: World) -> None:
    made = await a_customer(await an_operator(world))
    bodies = [{"invite": made["invite"], "password": f"{PASSWORD} {number}"} for number in range(4)]
    answers = await asyncio.gather(*(world.http.post("/account/accept-invite/", json=one) for one in bodies))
    assert sorted(one.status_code for one in answers) == [200, 400, 400, 400]


async def test_a_repeated_invite_is_answered_as_the_first_time_and_a_repeated_sign_in_makes_one_token(
    world: World,
) -> None:
    made = await a_customer(await an_operator(world))
    body, key = {"invite": made["invite"], "password": PASSWORD}, {"Idempotency-Key": "mine"}
    answers = await asyncio.gather(
        *(world.http.post("/account/accept-invite/", json=body, headers=key) for _ in range(4))
    )
    good = [one for one in answers if one.status_code == 200]
    assert {one.status_code for one in answers} <= {200, 409}  # 409: while another looks at the first answer
    assert {one.json()["email"] for one in good} == {made["email"]}
    assert [one.headers.get("idempotent-replayed") for one in good].count(None) == 1
    assert (await world.http.post("/account/accept-invite/", json=body, headers=key)).json() == good[0].json()
    other = {**body, "password": f"{PASSWORD} 2"}
    answer = await world.http.post("/account/accept-invite/", json=other, headers=key)
    assert answer.status_code == 409
    answer = await world.http.post("/account/accept-invite/", json=body, headers={"Idempotency-Key": "another"})
    assert answer.status_code == 400

    body, key = {"email": made["email"], "password": PASSWORD}, {"Idempotency-Key": "sign in"}
    first = await world.http.post("/login/", json=body, headers=key)
    again = await world.http.post("/login/", json=body, headers=key)
    assert (first.status_code, again.status_code, again.headers["idempotent-replayed"]) == (201, 201, "true")
    assert again.json()["id"] == first.json()["id"]
    assert (again.json()["token"], set(again.json()["not_repeated"])) == (None, {"token"})
    wrong = await world.http.post("/login/", json={**body, "password": "another one"}, headers=key)
    assert wrong.status_code == 401
    assert await world.sql("SELECT count(*) FROM token WHERE name = 'sign-in'") == [(1,)]


async def test_a_new_password_by_invite_ends_earlier_sign_ins(world: World) -> None:
    operator = await an_operator(world)
    made = await a_customer(operator, password=PASSWORD)
    assert made["invite"] is None
    before = await signed_in(world, made["email"])
    newer = (await operator("POST", f"/admin/accounts/{made['id']}/invite/")).json()["invite"]
    assert (await before("GET", "/account/me/")).status_code == 200
    await world.http.post("/account/accept-invite/", json={"invite": newer, "password": PASSWORD + "2"})
    assert (await before("GET", "/account/me/")).status_code == 401
    assert (await sign_in(world, made["email"])).status_code == 401
    assert (await sign_in(world, made["email"], PASSWORD + "2")).status_code == 201


async def test_a_short_password_is_refused(world: World) -> None:
    made = await an_operator(world)
    answer = await made("POST", "/admin/accounts/", {"email": "a@b", "password": "short"})
    assert (answer.status_code, set(answer.json())) == (400, {"password"})


async def test_passwords_and_invites_are_kept_as_hashes(world: World) -> None:
    operator = await an_operator(world)
    await a_customer(operator, password=PASSWORD)
    made = (await operator("POST", "/admin/accounts/", {"email": "x@y"}, headers={"Idempotency-Key": "k"})).json()
    again = (await operator("POST", "/admin/accounts/", {"email": "x@y"}, headers={"Idempotency-Key": "k"})).json()
    assert again["invite"] is None
    for table in ("account", "audit_entry", "idempotency_key"):
        for (row,) in await world.sql(f"SELECT t::text FROM {table} t"):
            for secret in (PASSWORD, made["invite"]):
                assert secret not in row
                assert secret.encode().hex() not in row
    [(kept,)] = await world.sql("SELECT password_hash FROM account WHERE password_hash IS NOT NULL")
    assert kept.startswith("$argon2id$")


async def test_wrong_passwords_are_one_refusal_and_are_counted(world: World) -> None:
    operator = await an_operator(world)
    made = await a_customer(operator, password=PASSWORD)
    closed = await a_customer(operator, password=PASSWORD)
    await operator("POST", f"/admin/accounts/{closed['id']}/disable/")
    answers = [
        await sign_in(world, made["email"], "wrong"),
        await sign_in(world, "nobody@example.com", "wrong"),
        await sign_in(world, closed["email"]),
        await sign_in(world, (await a_customer(operator))["email"]),
    ]
    assert {one.status_code for one in answers} == {401}
    assert len({one.text for one in answers}) == 1
    for _ in range(12):
        await sign_in(world, made["email"])  # right ones don't count
    wrong = await asyncio.gather(*(sign_in(world, made["email"], "wrong") for _ in range(20)))
    assert sorted({one.status_code for one in wrong}) == [401, 429]
    assert sum(one.status_code == 401 for one in wrong) == 9  # and one above
    refused = await sign_in(world, made["email"])
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    other = await a_customer(operator, password=PASSWORD)
    assert (await sign_in(world, other["email"])).status_code == 201


async def test_sign_ins_and_failed_ones_are_in_the_audit_log(world: World) -> None:
    made = await a_customer(await an_operator(world), password=PASSWORD)
    await sign_in(world, made["email"], "wrong")
    await sign_in(world, "nobody@example.com", "wrong")
    customer = await signed_in(world, made["email"])
    await customer("POST", "/ssh-keys/", {"name": "laptop", "public_key": ED25519})
    log = (await customer("GET", "/account/audit/")).json()
    assert [one["operation"] for one in log["results"]] == ["create_ssh_key", "sign_in", "sign_in_failed"]
    key, entered, failed = log["results"]
    assert (key["token_name"], key["account_id"], key["client_address"]) == ("sign-in", made["id"], "127.0.0.1")
    assert key["subject"].startswith("ssh_key ")
    assert key["request_id"]
    assert len({one["request_id"] for one in log["results"]}) == 3
    assert (entered["token_id"], failed["token_id"]) == (None, None)


async def test_the_audit_log_is_filtered_and_paged(world: World) -> None:
    customer = await world.a_client()
    for number in range(3):
        await customer("POST", "/tokens/", {"name": str(number), "permissions": ["servers:read"]})
    await customer("POST", "/ssh-keys/", {"name": "laptop", "public_key": ED25519})
    await world.sql("SELECT pg_sleep(1)")
    [(moment,)] = await world.sql("SELECT now()")
    await customer("POST", "/tokens/", {"name": "last", "permissions": ["servers:read"]})

    async def found(query: str) -> list[int]:
        answer = await customer("GET", f"/account/audit/?{query}")
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["results"]]

    everything = await found("")
    assert everything == sorted(everything, reverse=True)
    assert len(await found("operation=create_token")) == 4
    assert await found("page_size=2&page=2") == everything[2:4]
    assert await found(f"since={moment.isoformat()}") == everything[:1]
    for wrong in ("yesterday", "2026-13-01", "", "0001-01-01T00:00:00%2B23:59"):
        answer = await customer("GET", f"/account/audit/?since={wrong}")
        assert (answer.status_code, set(answer.json())) == (400, {"since"}), wrong
    operator = await an_operator(world)
    listed = (await operator("GET", f"/admin/audit/?account_id={customer.account_id}")).json()
    assert [one["id"] for one in listed["results"]] == everything
    about = (await operator("GET", "/admin/audit/?subject=ssh_key%201")).json()
    assert [one["operation"] for one in about["results"]] == ["create_ssh_key"]


@pytest.mark.parametrize("table", ["audit_entry", "ledger_entry"])
@pytest.mark.parametrize("change", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}"])
async def test_not_even_the_database_changes_what_was_written(world: World, table: str, change: str) -> None:
    customer = await world.a_client()
    await customer("POST", "/ssh-keys/", {"name": "laptop", "public_key": ED25519})
    before = await world.sql(f"SELECT * FROM {table}")
    with pytest.raises(DBAPIError, match="only ever added"):
        await world.sql(change.format(table))
    assert await world.sql(f"SELECT * FROM {table}") == before != []


async def test_a_disabled_account_is_out_at_once_and_enabled_is_as_before(world: World) -> None:
    operator = await an_operator(world)
    made = await a_customer(operator, password=PASSWORD)
    customer, path = await signed_in(world, made["email"]), f"/admin/accounts/{made['id']}"
    closed = await operator("POST", f"{path}/disable/", {"reason": "unpaid"})
    assert (closed.json()["disabled_reason"], bool(closed.json()["disabled_at"])) == ("unpaid", True)
    assert (await customer("GET", "/account/me/")).status_code == 401
    assert (await sign_in(world, made["email"])).status_code == 401
    opened = (await operator("POST", f"{path}/enable/")).json()
    assert (opened["disabled_at"], opened["disabled_reason"]) == (None, "")
    assert (await customer("GET", "/account/me/")).status_code == 200
    told = (await operator("GET", f"/admin/audit/?subject=account%20{made['id']}&operation=disable_account")).json()
    assert [one["details"] for one in told["results"]] == [{"reason": "unpaid"}]


async def test_who_waits_while_the_account_is_closed_makes_no_server(world: World) -> None:
    operator = await an_operator(world)
    made = await a_customer(operator, password=PASSWORD, credit=25)
    customer = await signed_in(world, made["email"])
    async with world.database.begin() as conn:
        await manage.find(conn, made["id"], lock=True)
        create = asyncio.create_task(customer("POST", "/servers/", WEB))
        while not await world.sql(WAITING):
            pass
        await manage.remove(conn, made["id"])
    assert (await create).status_code == 401
    assert await world.sql("SELECT 1 FROM server") == []


async def test_old_sign_ins_are_forgotten(world: World) -> None:
    made = await a_customer(await an_operator(world), password=PASSWORD)
    await signed_in(world, made["email"])
    customer = await signed_in(world, made["email"])
    assert (await customer("GET", "/tokens/")).json()["count"] == 2
    await world.sql("UPDATE token SET expires_at = now() - interval '31 days' WHERE account_id = :id", id=made["id"])
    customer = await signed_in(world, made["email"])
    assert (await customer("GET", "/tokens/")).json()["count"] == 1


async def test_operators_do_not_lock_themselves_out(world: World) -> None:
    operator = await an_operator(world)
    assert (await operator("POST", f"/admin/accounts/{operator.account_id}/disable/")).status_code == 400
    assert (await operator("DELETE", f"/admin/accounts/{operator.account_id}/")).status_code == 400


async def test_fields_are_changed_and_checked(world: World) -> None:
    operator = await an_operator(world)
    made, other = await a_customer(operator), await a_customer(operator, max_vcpus=8)
    path = f"/admin/accounts/{made['uuid']}/"
    changed = (await operator("PATCH", path, {"email": "New@Example.com", "max_servers": 3})).json()
    assert (changed["email"], changed["max_servers"], changed["max_vcpus"]) == ("new@example.com", 3, None)
    assert (await operator("PATCH", path, {"max_servers": None})).json()["max_servers"] is None
    taken = await operator("PATCH", path, {"email": other["email"].upper()})
    assert (taken.status_code, set(taken.json())) == (400, {"email"})
    taken = await operator("POST", "/admin/accounts/", {"email": other["email"]})
    assert (taken.status_code, set(taken.json())) == (400, {"email"})
    wrong = await operator("PATCH", path, {"email": None, "max_servers": -1, "max_vcpus": "x", "first_name": "a\nb"})
    assert (wrong.status_code, set(wrong.json())) == (400, {"email", "max_servers", "max_vcpus", "first_name"})
    found = (await operator("GET", f"/admin/accounts/?email={other['email'].upper()}")).json()
    assert [one["id"] for one in found["results"]] == [other["id"]]


async def test_an_account_is_deleted_without_servers_only_and_its_books_stay(world: World) -> None:
    operator = await an_operator(world)
    made = await a_customer(operator, password=PASSWORD, credit=25, first_name="Ada")
    customer, path = await signed_in(world, made["email"]), f"/admin/accounts/{made['id']}/"
    await customer("POST", "/ssh-keys/", {"name": "laptop", "public_key": ED25519})
    number = (await customer("POST", "/servers/", WEB)).json()["id"]
    detail = (await operator("GET", path)).json()
    assert (detail["servers"], detail["balance"]) == (1, 25.0)
    refused = await operator("DELETE", path)
    assert refused.status_code == 400
    assert "1 server." in refused.json()["detail"]
    await world.sql("UPDATE address SET server_id = NULL WHERE server_id = :id", id=number)
    await world.sql("DELETE FROM server WHERE id = :id", id=number)
    assert (await operator("DELETE", path)).status_code == 204
    assert (await operator("DELETE", path)).status_code == 404
    assert (await operator("GET", path)).status_code == 404
    assert (await customer("GET", "/account/me/")).status_code == 401
    assert (await sign_in(world, made["email"])).status_code == 401
    assert made["id"] not in [one["id"] for one in (await operator("GET", "/admin/accounts/")).json()["results"]]
    [row] = await world.sql("SELECT * FROM account WHERE id = :id", id=made["id"])
    assert made["email"] not in str(row)
    assert "Ada" not in str(row)
    assert await world.sql("SELECT 1 FROM ssh_key WHERE account_id = :id", id=made["id"]) == []
    [(micro,)] = await world.sql("SELECT amount_micro FROM ledger_entry WHERE account_id = :id", id=made["id"])
    assert micro == 25_000_000
    kept = (await operator("GET", f"/admin/audit/?account_id={made['id']}")).json()
    assert "create_server" in [one["operation"] for one in kept["results"]]
    assert (await a_customer(operator, email=made["email"]))["id"] != made["id"]


@pytest.mark.parametrize(
    ("quota", "says"),
    [
        ({"max_servers": 1}, "may have 1 servers"),
        ({"max_vcpus": 1}, "may have 1 vCPUs"),
        ({"creates_an_hour": 1}, "may create 1 servers in 60 minutes"),
    ],
)
async def test_a_quota_refuses_one_more(world: World, quota: dict[str, int], says: str) -> None:
    operator = await an_operator(world)
    made = await a_customer(operator, password=PASSWORD, credit=100, **quota)
    customer = await signed_in(world, made["email"])
    smallest = min((await customer("GET", "/plans/")).json()["results"], key=lambda one: one["vcpus"])
    body = WEB | {"plan_id": smallest["id"]}
    assert (await customer("POST", "/servers/", body)).status_code == 201
    refused = await customer("POST", "/servers/", body)
    assert refused.status_code == 400
    assert says in refused.json()["detail"]
    await operator("PATCH", f"/admin/accounts/{made['id']}/", dict.fromkeys(quota, 2))
    assert (await customer("POST", "/servers/", body)).status_code == 201


async def test_a_create_counts_for_its_hour_though_the_server_is_gone(world: World) -> None:
    operator = await an_operator(world)
    made = await a_customer(operator, password=PASSWORD, credit=100, creates_an_hour=1)
    customer = await signed_in(world, made["email"])
    number = (await customer("POST", "/servers/", WEB)).json()["id"]
    assert (await customer("DELETE", f"/servers/{number}/")).status_code == 204
    assert (await customer("POST", "/servers/", WEB)).status_code == 400
    await world.sql("UPDATE action SET created_at = now() - interval '61 minutes'")
    assert (await customer("POST", "/servers/", WEB)).status_code == 201
