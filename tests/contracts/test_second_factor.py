"""A second factor: asked for after the password, each code taken once, and no way around it."""

import asyncio
import base64
import re
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from sqlalchemy import select
from test_console import PASSWORD, Browser, with_password

from factories import Client, World
from openvps.accounts.second_factor import check, codes
from openvps.accounts.throttle import FOR_ONE_EMAIL
from openvps.core.clock import now
from openvps.ops.commands import main
from openvps.schema import second_factor

pytestmark = pytest.mark.anyio

HERE = "/account/second-factor/"


@dataclass
class Person:
    """Somebody with a password, an app that has the key, and recovery codes."""

    world: World
    client: Client
    email: str
    key: bytes = b""
    recovery: list[str] = field(default_factory=list[str])

    async def sets_up(self) -> None:
        begun = await self.client("POST", HERE, {"password": PASSWORD})
        assert begun.status_code == 201, begun.text
        self.key = base64.b32decode(begun.json()["secret"])
        confirmed = await self.client("POST", f"{HERE}confirm/", {"code": self.code()})
        assert confirmed.status_code == 200, confirmed.text
        self.recovery = confirmed.json()["recovery_codes"]
        await self.next_step()

    def code(self) -> str:
        return codes.code(self.key, codes.step_of(now()))

    async def next_step(self) -> None:
        """Let time pass for the row: the step before is the last that was taken."""
        await self.world.sql("UPDATE second_factor SET last_step = last_step - 3")

    async def signs_in(self, **more: str) -> httpx2.Response:
        headers = {"Idempotency-Key": more.pop("key")} if "key" in more else {}
        body = {"email": self.email, "password": PASSWORD, **more}
        return await self.world.http.post("/login/", json=body, headers=headers)


@pytest.fixture
async def person(world: World) -> Person:
    client = await world.a_client()
    return Person(world, client, await with_password(world, client))


def wrong(good: str) -> str:
    return f"{(int(good) + 500_000) % 1_000_000:06}"


async def test_it_is_asked_for_by_name_once_it_was_confirmed(person: Person) -> None:
    begun = await person.client("POST", HERE, {"password": PASSWORD})
    assert (await person.signs_in()).status_code == 201, "an unconfirmed one locks nobody out"
    person.key = base64.b32decode(begun.json()["secret"])
    refused = await person.client("POST", f"{HERE}confirm/", {"code": wrong(person.code())})
    assert (refused.status_code, list(refused.json())) == (400, ["code"])
    assert (await person.client("GET", HERE)).json()["enabled"] is False
    await person.sets_up()
    asked = await person.signs_in()
    assert asked.status_code == 401
    assert asked.json()["second_factor"] == "required"
    assert "`code`" in asked.json()["detail"]
    unknown = await person.world.http.post("/login/", json={"email": person.email, "password": "wrong"})
    assert "second_factor" not in unknown.json(), "nobody without the password learns of it"
    shown = (await person.client("GET", HERE)).json()
    assert (shown["enabled"], shown["recovery_codes_left"]) == (True, codes.RECOVERY_CODES)


async def test_a_code_lets_in_once_and_so_does_each_recovery_code(person: Person) -> None:
    await person.sets_up()
    code = person.code()
    answers = await asyncio.gather(*(person.signs_in(code=code) for _ in range(4)))
    assert sorted(one.status_code for one in answers) == [201, 401, 401, 401], "however many at once"
    assert (await person.signs_in(code=code)).status_code == 401
    first, second, *_ = person.recovery
    assert (await person.signs_in(code=first.upper())).status_code == 201
    assert (await person.signs_in(code=first)).status_code == 401
    assert (await person.signs_in(code=second)).status_code == 201
    assert (await person.client("GET", HERE)).json()["recovery_codes_left"] == codes.RECOVERY_CODES - 2
    audit = (await person.client("GET", "/account/audit/?operation=sign_in_failed")).json()["results"]
    assert {one["details"]["by"] for one in audit} == {"second factor"}


async def test_a_repeated_request_is_answered_as_the_first_time(person: Person) -> None:
    await person.sets_up()
    code = person.code()
    first = await person.signs_in(code=code, key="one")
    again = await person.signs_in(code=code, key="one")
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.json()["id"], again.json()["token"]) == (first.json()["id"], None)


async def test_wrong_codes_are_counted_with_the_passwords_and_in_the_row(person: Person) -> None:
    await person.sets_up()
    for _ in range(2):  # the password alone is no guess at a code
        assert (await person.signs_in()).status_code == 401
    for _ in range(FOR_ONE_EMAIL):
        assert (await person.signs_in(code=wrong(person.code()))).status_code == 401
    assert (await person.signs_in(code=person.code())).status_code == 429
    guesses = person.world.app.state.guesses
    for count, key in ((guesses.by_email, person.email), (guesses.by_client, "127.0.0.1")):
        for _ in range(FOR_ONE_EMAIL + 3):  # as if another api process were asked, or ten minutes later
            count.forgive(key)
    refused = await person.signs_in(code=person.code())
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3600")
    assert (await person.signs_in(code=person.recovery[0])).status_code == 429
    assert check.MOST_WRONG == FOR_ONE_EMAIL
    await person.world.sql("UPDATE second_factor SET failed_at = now() - interval '61 minutes'")
    assert (await person.signs_in(code=person.code())).status_code == 201


async def test_a_token_without_the_password_can_neither_begin_nor_end_it(person: Person) -> None:
    for path, body in (("", {}), ("disable/", {"code": "123456"})):
        refused = await person.client("POST", f"{HERE}{path}", {"password": "another one", **body})
        assert (refused.status_code, list(refused.json())) == (400, ["password"])
    await person.sets_up()
    assert (await person.client("POST", HERE, {"password": PASSWORD})).status_code == 400, "there is one"
    disable = f"{HERE}disable/"
    refused = await person.client("POST", disable, {"password": PASSWORD, "code": wrong(person.code())})
    assert (refused.status_code, list(refused.json())) == (400, ["code"])
    assert await person.world.sql("SELECT failures FROM second_factor") == [(1,)], "counted, whoever asks next"
    await person.world.sql("UPDATE second_factor SET failures = :most, failed_at = now()", most=check.MOST_WRONG)
    rests = await person.client("POST", disable, {"password": PASSWORD, "code": person.code()})
    assert (rests.status_code, rests.headers["retry-after"]) == (429, "3600")
    await person.world.sql("UPDATE second_factor SET failures = 0")
    done = await person.client("POST", disable, {"password": PASSWORD, "code": person.code()})
    assert (done.status_code, done.json()["enabled"]) == (200, False)
    assert (await person.signs_in()).status_code == 201
    guessed = [await person.client("POST", HERE, {"password": f"guess {n}"}) for n in range(FOR_ONE_EMAIL)]
    assert guessed[-1].status_code == 429


async def test_nothing_that_opens_is_kept_and_a_replay_shows_no_secret(person: Person) -> None:
    async def twice(path: str, body: dict[str, str]) -> tuple[Any, Any]:
        headers = {"Idempotency-Key": f"key {path}"}
        answers = [await person.client("POST", path, body, headers=headers) for _ in range(2)]
        return answers[0].json(), answers[1].json()

    first, again = await twice(HERE, {"password": PASSWORD})
    assert (again["secret"], again["otpauth_url"]) == (None, None)
    person.key = base64.b32decode(first["secret"])
    confirmed, repeated = await twice(f"{HERE}confirm/", {"code": person.code()})
    assert repeated["recovery_codes"] is None
    async with person.world.database.begin() as conn:
        kept = (await conn.execute(select(second_factor.c.recovery_digests))).scalar_one()
    assert set(kept) == {codes.recovery_digest(one) for one in confirmed["recovery_codes"]}


async def test_an_operator_resets_it_by_the_api_and_on_the_host(person: Person) -> None:
    operator = await person.world.a_client(operator=True, permissions=("accounts:read", "accounts:write"))
    one = f"/admin/accounts/{person.client.account_id}/"
    assert (await operator("GET", one)).json()["second_factor"] is False
    await person.sets_up()
    assert (await operator("GET", one)).json()["second_factor"] is True
    assert (await operator("POST", f"{one}reset-second-factor/")).json()["second_factor"] is False
    assert (await person.signs_in()).status_code == 201
    await person.sets_up()
    assert (await person.signs_in()).status_code == 401
    assert await asyncio.to_thread(main, ["account", "reset-second-factor", person.email]) == 0
    assert (await person.signs_in()).status_code == 201
    assert len(await person.world.sql("SELECT FROM audit_entry WHERE operation = 'reset_second_factor'")) == 2


async def test_a_new_password_keeps_it_and_forgets_the_wrong_codes(person: Person) -> None:
    operator = await person.world.a_client(operator=True, permissions=("accounts:write",))
    await person.sets_up()
    await person.world.sql("UPDATE second_factor SET failures = 10, failed_at = now()")
    invited = (await operator("POST", f"/admin/accounts/{person.client.account_id}/invite/")).json()["invite"]
    accepted = await person.world.http.post("/account/accept-invite/", json={"invite": invited, "password": PASSWORD})
    assert accepted.status_code == 200
    assert (await person.signs_in()).json()["second_factor"] == "required"
    assert (await person.signs_in(code=person.code())).status_code == 201


async def test_the_console_sets_it_up_and_asks_for_it(person: Person) -> None:
    browser = Browser(person.world)
    assert (await browser.sign_in(email=person.email, password=PASSWORD)).headers["location"] == "/servers/"
    await browser.get("/security/")
    begun = await browser.post("/security/", {"verb": "begin", "password": PASSWORD})
    assert "<svg" in begun.text
    found = re.search(r'id="secret"[^>]*>([A-Z2-7]{32})<', begun.text)
    assert found is not None
    person.key = base64.b32decode(found.group(1))
    link = f"otpauth://totp/x?secret={found.group(1)}"
    typed = {"verb": "confirm", "otpauth_url": link, "secret": found.group(1)}
    refused = await browser.post("/security/", {**typed, "code": wrong(person.code())})
    assert refused.status_code == 400
    assert found.group(1) in refused.text, "the key is still there to be typed in"
    evil = await browser.post("/security/", {**typed, "otpauth_url": "javascript:alert(1)", "code": "000000"})
    assert "javascript:" not in evil.text
    confirmed = await browser.post("/security/", {**typed, "code": person.code()})
    recovery = re.findall(r"[a-z2-7]{4}(?:-[a-z2-7]{4}){3}", confirmed.text)
    assert len(recovery) == codes.RECOVERY_CODES
    await browser.post("/sign-out/")
    await person.next_step()
    await browser.http.aclose()

    browser, thief = Browser(person.world), Browser(person.world)
    await thief.get("/sign-in/")
    await browser.get("/sign-in/")
    asked = await browser.post("/sign-in/", {"email": person.email, "password": PASSWORD})
    assert 'action="/sign-in/code/"' in asked.text
    assert "openvps-session" not in browser.http.cookies
    assert (await browser.get("/servers/")).headers["location"] == "/sign-in/"
    for code in (wrong(person.code()), ""):
        refused = await browser.post("/sign-in/code/", {"code": code})
        assert refused.status_code == 401
    stolen = await thief.post("/sign-in/code/", {"code": person.code()})
    assert stolen.status_code == 401, "another browser has given no password"
    assert (await browser.post("/sign-in/code/", {"code": person.code()})).headers["location"] == "/servers/"
    assert (await browser.get("/servers/")).status_code == 200
    again = await browser.post("/sign-in/code/", {"code": recovery[0], "_mark": ""})
    assert again.status_code == 403
    await browser.http.aclose()
    await thief.http.aclose()


async def test_a_password_given_ten_minutes_ago_is_asked_for_again(person: Person) -> None:
    await person.sets_up()
    browser = Browser(person.world)
    await browser.get("/sign-in/")
    await browser.post("/sign-in/", {"email": person.email, "password": PASSWORD})
    await person.world.sql("UPDATE sign_in_step SET expires_at = now()")
    refused = await browser.post("/sign-in/code/", {"code": person.code()})
    assert refused.status_code == 401
    assert 'name="password"' in refused.text
    await browser.http.aclose()


async def test_a_deleted_accounts_key_is_gone(person: Person) -> None:
    operator = await person.world.a_client(operator=True, permissions=("accounts:write",))
    await person.sets_up()
    assert (await operator("DELETE", f"/admin/accounts/{person.client.account_id}/")).status_code == 204
    assert await person.world.sql("SELECT FROM second_factor") == []
