"""The console's pages: who gets in, which forms are believed, and that a session is no more than its token."""

import hashlib
import html
import json
import re
import shlex
from collections.abc import AsyncGenerator
from importlib.resources import files
from typing import Any

import httpx2
import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import select, text, update

from factories import ED25519, Client, World
from openvps.accounts import passwords
from openvps.accounts.permissions import everything
from openvps.accounts.throttle import FOR_ONE_EMAIL
from openvps.ops.commands import app
from openvps.schema import account, audit_entry, session, token
from openvps.web.console.page import Door, Page

pytestmark = pytest.mark.anyio

MARK = re.compile(r'name="_mark" value="([0-9a-f]{64})"')
PASSWORD = "four words nobody guesses"
EVERYTHING = tuple(everything(operator=True))


class Browser:
    """Follows no redirect by itself, keeps cookies, and fills in forms with the mark of the page it saw last."""

    def __init__(self, world: World, *, base_url: str = "http://api.test") -> None:
        transport = httpx2.ASGITransport(app=world.app, raise_app_exceptions=False)
        self.http = httpx2.AsyncClient(transport=transport, base_url=base_url)
        self.mark = ""

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        answer = await self.http.get(path, headers=headers)
        if found := MARK.search(answer.text):
            self.mark = found.group(1)
        return answer

    async def post(self, path: str, fields: dict[str, Any] | None = None, **headers: str) -> httpx2.Response:
        return await self.http.post(path, data={"_mark": self.mark, **(fields or {})}, headers=headers)

    async def sign_in(self, **fields: str) -> httpx2.Response:
        await self.get("/sign-in/")
        answer = await self.post("/sign-in/", fields)
        await self.get("/keys/")
        return answer


@pytest.fixture
async def browser(world: World) -> AsyncGenerator[Browser]:
    browser = Browser(world)
    yield browser
    await browser.http.aclose()


async def with_password(world: World, client: Client) -> str:
    kept = await passwords.hashed(PASSWORD)
    async with world.database.begin() as conn:
        changed = update(account).where(account.c.id == client.account_id).values(password_hash=kept)
        return (await conn.execute(changed.returning(account.c.email))).scalar_one()


def pages(world: World) -> list[Any]:
    return [one for one in iter_route_contexts(world.app.routes) if isinstance(one.original_route, Page)]


async def test_nobody_sees_a_page_without_a_session(world: World, browser: Browser) -> None:
    assert len(pages(world)) > 20
    for one in pages(world):
        path = re.sub(r"{\w+}", "1", one.path)
        for method in one.methods:
            answer = await browser.http.request(method, path, data={"_mark": "x"})
            assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in/"), (method, path)


async def test_every_page_is_there_in_every_language(world: World, browser: Browser) -> None:
    client = await world.a_client(operator=True, permissions=EVERYTHING)
    number = await world.a_server(client)
    await world.a_snapshot(client, number)
    await world.a_backup(client, number)
    await client("POST", "/ssh-keys/", {"name": "laptop", "public_key": ED25519})
    assert (await browser.sign_in(token=client.token)).headers["location"] == "/servers/"
    report = (await client("POST", "/admin/consistency-reports/")).json()["id"]
    numbers = {"/operator/accounts/": client.account_id, "/operator/plans/": 3, "/operator/consistency/": report}
    for one in pages(world):
        if "GET" not in one.methods or "{month}" in one.path or one.path.endswith(".json"):
            continue
        path = one.path.replace("{number}", str(numbers.get(one.path.partition("{")[0], number)))
        for code in ("en", "gu"):
            answer = await browser.get(f"{path}?lang={code}")
            assert answer.status_code == 200, answer.text
            assert f'<html lang="{code}">' in answer.text
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["cache-control"] == "no-store"
            assert "style=" not in answer.text
            assert not re.search(r"<script(?![^>]* src=)| on\w+=", answer.text)
            for target in re.findall(r'(?:src|href)="(/console/files/[^"]+)"', answer.text):
                file = await browser.http.get(target)
                assert (file.status_code, "immutable" in file.headers["cache-control"]) == (200, True), target
    assert "સર્વર" in (await browser.get("/servers/")).text  # the last choice is remembered


async def test_a_password_opens_a_session_and_ten_wrong_ones_shut_the_door(world: World, browser: Browser) -> None:
    client = await world.a_client()
    email = await with_password(world, client)
    assert (await browser.sign_in(email=email, password=PASSWORD)).status_code == 303
    assert (await browser.get("/servers/")).status_code == 200
    await browser.post("/sign-out/")
    await browser.get("/sign-in/")
    for _ in range(FOR_ONE_EMAIL):
        assert (await browser.post("/sign-in/", {"email": email, "password": "wrong"})).status_code == 401
    refused = await browser.post("/sign-in/", {"email": email, "password": PASSWORD})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    async with world.database.begin() as conn:
        told = (
            await conn.execute(select(audit_entry.c.operation).where(audit_entry.c.account_id.is_not(None)))
        ).all()
    assert [one.operation for one in told].count("sign_in_failed") == FOR_ONE_EMAIL


async def test_signing_out_ends_the_session_and_the_token_made_for_it(world: World, browser: Browser) -> None:
    client = await world.a_client()
    await browser.sign_in(email=await with_password(world, client), password=PASSWORD)
    cookie = browser.http.cookies["openvps-session"]
    answer = await browser.post("/sign-out/")
    assert answer.headers["location"] == "/sign-in/?done=out"
    assert "openvps-session" not in browser.http.cookies
    async with world.database.begin() as conn:
        assert (await conn.execute(select(session))).all() == []
        made = await conn.execute(select(token.c.revoked_at).where(token.c.name == "sign-in"))
        assert made.scalar_one() is not None
    browser.http.cookies.set("openvps-session", cookie)  # who kept a copy
    assert (await browser.get("/servers/")).headers["location"] == "/sign-in/?done=out"


async def test_a_customers_own_token_outlives_its_session(world: World, browser: Browser) -> None:
    client = await world.a_client()
    await browser.sign_in(token=client.token)
    await browser.post("/sign-out/")
    assert (await client("GET", "/servers/")).status_code == 200


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE token SET revoked_at = now()",
        "UPDATE token SET expires_at = now() - interval '1 s'",
        "UPDATE account SET disabled_at = now()",
        "UPDATE session SET expires_at = now() - interval '1 s'",
    ],
)
async def test_a_session_ends_with_its_token_account_and_time(world: World, browser: Browser, end: str) -> None:
    await browser.sign_in(token=(await world.a_client()).token)
    assert (await browser.get("/servers/")).status_code == 200
    async with world.database.begin() as conn:
        await conn.execute(text(end))
    assert (await browser.get("/servers/")).headers["location"] == "/sign-in/?done=out"
    part = await browser.http.get("/servers/", headers={"HX-Request": "true"})
    assert part.headers["hx-redirect"] == "/sign-in/"


async def test_only_the_digest_of_a_cookie_is_kept(world: World, browser: Browser) -> None:
    await browser.sign_in(token=(await world.a_client()).token)
    cookie = browser.http.cookies["openvps-session"]
    async with world.database.begin() as conn:
        assert (await conn.execute(select(session.c.digest))).scalar_one() == hashlib.sha256(cookie.encode()).digest()


async def test_over_https_the_cookies_are_host_cookies(world: World) -> None:
    browser = Browser(world, base_url="https://api.test")
    await browser.get("/sign-in/")
    answer = await browser.post("/sign-in/", {"token": (await world.a_client()).token})
    made = answer.headers["set-cookie"]
    assert made.startswith("__Host-openvps-session=")
    for word in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"):
        assert word in made
    await browser.http.aclose()


async def test_a_form_of_another_page_is_refused(world: World, browser: Browser) -> None:
    client = await world.a_client()
    await browser.sign_in(token=client.token)
    wanted = {"name": "evil", "public_key": ED25519}
    for headers in ({"Origin": "http://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await browser.post("/keys/", wanted, **headers)).status_code == 403
    for mark in ("", "0" * 64):
        assert (await browser.post("/keys/", {"_mark": mark, **wanted})).status_code == 403
    door = Browser(world)
    await door.get("/sign-in/")
    assert (await door.post("/sign-in/", {"_mark": browser.mark, "token": client.token})).status_code == 403
    await door.http.aclose()
    assert (await client("GET", "/ssh-keys/")).json()["count"] == 0
    good = await browser.post("/keys/", wanted, Origin="http://api.test", **{"Sec-Fetch-Site": "same-origin"})
    assert good.headers["location"] == "/keys/?done=key_added"


async def test_a_session_may_no_more_than_its_token(world: World, browser: Browser) -> None:
    owner = await world.a_client()
    number = await world.a_server(owner)
    reader = await world.a_client(account_id=owner.account_id, permissions=("servers:read",))
    await browser.sign_in(token=reader.token)
    await browser.get(f"/servers/{number}/")
    refused = await browser.post(f"/servers/{number}/do/", {"action": "stop"})
    assert refused.status_code == 403
    assert "servers:write" in refused.text
    assert (await owner("GET", f"/servers/{number}/")).json()["status"] == "active"
    assert (await browser.get("/operator/accounts/")).status_code == 403


async def test_another_accounts_server_is_not_there(world: World, browser: Browser) -> None:
    owner, stranger = await world.a_client(), await world.a_client()
    number = await world.a_server(owner, name="secret-name")
    await browser.sign_in(token=stranger.token)
    assert "secret-name" not in (await browser.get("/servers/")).text
    for path in ("", "copies/", "settings/", "metrics.json"):
        answer = await browser.get(f"/servers/{number}/{path}")
        assert answer.status_code == 404, path
        assert "secret-name" not in answer.text
    await browser.get("/keys/")
    for path, fields in (("do/", {"action": "stop"}), ("delete/", {"confirm": "secret-name"})):
        assert (await browser.post(f"/servers/{number}/{path}", fields)).status_code == 404
    assert (await owner("GET", f"/servers/{number}/")).json()["status"] == "active"


async def test_a_server_is_made_once_however_often_the_form_is_sent(world: World, browser: Browser) -> None:
    client = await world.a_client()
    await browser.sign_in(token=client.token)
    form = (await browser.get("/servers/new/")).text
    once = re.search(r'name="_once" value="([^"]+)"', form)
    assert once is not None
    wanted = {"_once": once.group(1), "name": "web-1", "plan_id": "3", "os_id": "3", "location": "us-west"}
    made = [await browser.post("/servers/new/", wanted) for _ in range(2)]
    assert made[0].status_code == 303
    assert made[0].headers["location"] == made[1].headers["location"]
    assert (await client("GET", "/servers/")).json()["count"] == 1
    (entry,) = (await client("GET", "/account/audit/?operation=create_server")).json()["results"]
    assert entry["token_name"] == "test"


async def test_what_is_wrong_with_a_form_is_told_and_what_was_typed_stays(world: World, browser: Browser) -> None:
    await browser.sign_in(token=(await world.a_client(credit=0)).token)
    await browser.get("/servers/new/")
    wanted = {"name": "-bad-", "plan_id": "3", "os_id": "3", "location": "us-west", "user_data": "</textarea><b>"}
    refused = await browser.post("/servers/new/", wanted)
    assert refused.status_code == 400
    assert 'value="-bad-"' in refused.text
    assert 'aria-describedby="wrong-name"' in refused.text
    assert "<b>" not in refused.text
    preview = await browser.post("/servers/new/preview/", {**wanted, "name": "good"})
    assert "Not enough credit" in preview.text
    told = html.unescape(preview.text)
    assert "curl -X POST http://api.test/api/v1/servers/" in told
    assert "openvps server create good" in told


async def test_an_operator_sells_plans_and_looks_for_differences_by_the_pages(world: World, browser: Browser) -> None:
    await browser.sign_in(token=(await world.a_client(operator=True, permissions=EVERYTHING)).token)
    await browser.get("/operator/plans/")
    sizes = {"vcpus": "1", "memory_mib": "512", "storage_gb": "5", "bandwidth_gb": "100"}
    wanted = {"slug": "Mini!", "name": "Mini <VPS>", "kind": "vm", "price": "2", "description": "", **sizes}
    refused = await browser.post("/operator/plans/", wanted)
    assert refused.status_code == 400
    assert 'aria-describedby="wrong-slug"' in refused.text
    assert 'value="Mini &lt;VPS&gt;"' in refused.text
    done = await browser.post("/operator/plans/", {**wanted, "slug": "mini"})
    assert done.headers["location"] == "/operator/plans/?done=plan_create"
    ((number,),) = await world.sql("SELECT id FROM plan WHERE slug = 'mini' AND kind = 'vm'")
    here = f"/operator/plans/{number}/"
    change = {"verb": "change", "name": "Mini", "price": "3.50", "description": "small", "apply": "yes"}
    assert (await browser.post(here, change)).headers["location"] == f"{here}?done=plan_change"
    assert 'value="3.50"' in (await browser.get(here)).text
    assert (await browser.post(here, {**change, "price": "much"})).status_code == 400
    assert (await browser.post(here, {"verb": "retire"})).headers["location"] == f"{here}?done=plan_retire"
    assert "retired_at" not in (page := (await browser.get(here)).text)
    assert 'value="retire"' not in page

    asked = await browser.post("/operator/consistency/", {"repair": "yes"})
    report = asked.headers["location"]
    assert "hx-get" in (await browser.get(report)).text, "it is kept up to date until it is done"
    finding = {
        "kind": "hold",
        "problem": "orphan",
        "subject": "server:1",
        "text": "<held>",
        "repair": "x",
        "cell": None,
    }
    result = {"findings": [finding], "repaired": [], "unseen": [{"cell": "here", "reason": "no answer"}]}
    await world.sql(
        "UPDATE consistency_report SET status = 'completed', found = 1, repaired = 0, unseen = 1,"
        " finished_at = now(), result = CAST(:result AS jsonb)",
        result=json.dumps(result),
    )
    told = (await browser.get(report)).text
    assert "&lt;held&gt;" in told
    assert "no answer" in told
    assert "hx-get" not in told
    assert f'href="{report}"' in (await browser.get("/operator/consistency/")).text


async def test_each_cell_of_a_table_bears_its_heading_for_narrow_screens(world: World, browser: Browser) -> None:
    client = await world.a_client()
    await world.a_server(client)
    await browser.sign_in(token=client.token)
    text = (await browser.get("/servers/")).text
    headings = re.findall(r'<th scope="col">([^<]+)</th>', text)
    assert re.findall(r'data-label="([^"]+)"', text) == headings[1:], "the first is the row's own heading"


async def test_the_command_shown_is_one_that_the_command_line_takes(world: World, browser: Browser) -> None:
    await browser.sign_in(token=(await world.a_client()).token)
    await browser.get("/servers/new/")
    plain = {"name": "web-1", "plan_id": "3", "os_id": "3", "location": "us-west"}
    full = {
        **plain,
        "ssh_keys": ["1", "2"],
        "tags": "web env:prod",
        "backups_enabled": "yes",
        "user_data": "#!/bin/sh\necho 'hi'",
    }
    for wanted in (plain, full):
        told = html.unescape((await browser.post("/servers/new/preview/", wanted)).text)
        shown = re.findall(r"<code>.*?(openvps server create .+?)</code>", told, re.DOTALL)
        assert len(shown) == 1
        command, bound, _ = app.parse_args(shlex.split(shown[0])[1:], print_error=False, exit_on_error=False)
        assert command.__name__ == "create"
        said = bound.arguments
        assert (said["name"], said["plan"], said["system"], said["location"]) == ("web-1", "3", "3", "us-west")
        assert list(said.get("ssh_key", ())) == wanted.get("ssh_keys", [])
        assert list(said.get("tag", ())) == str(wanted.get("tags", "")).split()
        assert bool(said.get("backups")) == ("backups_enabled" in wanted)
        assert ("user_data" in said) == ("user_data" in wanted)


async def test_a_part_is_sent_only_when_it_has_changed(world: World, browser: Browser) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    await browser.sign_in(token=client.token)
    whole = (await browser.get("/servers/")).text
    again = re.search(r'hx-get="([^"]+)"', whole)
    assert again is not None
    path = html.unescape(again.group(1))
    assert (await browser.get(path, **{"HX-Request": "true"})).status_code == 204
    await client("PATCH", f"/servers/{number}/", {"name": "renamed"})
    part = await browser.get(path, **{"HX-Request": "true"})
    assert "renamed" in part.text
    assert "<html" not in part.text


async def test_what_could_not_be_made_is_tried_again_by_a_button(world: World, browser: Browser) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    await browser.sign_in(token=client.token)
    assert 'id="do-retry"' not in (await browser.get(f"/servers/{number}/")).text
    await world.sql(
        "UPDATE server SET status = 'error', error = 'Why.', ready_at = NULL, wanted = 'stopped', look_at = NULL"
    )
    assert 'id="do-retry"' in (await browser.get(f"/servers/{number}/")).text
    pressed = await browser.post(f"/servers/{number}/do/", {"action": "retry"})
    assert (pressed.status_code, pressed.headers["location"]) == (303, f"/servers/{number}/?done=retry")
    assert (await client("GET", f"/servers/{number}/")).json()["status"] == "provisioning"
    assert "It is made anew." in (await browser.get(pressed.headers["location"])).text


async def test_a_webhooks_new_secret_is_shown_once(world: World, browser: Browser) -> None:
    client = await world.a_client()
    made = (await client("POST", "/webhooks/", {"url": "https://example.com/hook"})).json()
    await browser.sign_in(token=client.token)
    fields = {"verb": "rotate", "id": made["id"], "overlap_hours": "24"}
    shown = await browser.post("/webhooks/", fields)
    secret = re.search(r"whsec_[A-Za-z0-9+/=]+", html.unescape(shown.text))
    assert secret is not None
    assert secret.group() != made["secret"]
    assert "whsec_" not in (await browser.get("/webhooks/")).text
    refused = await browser.post("/webhooks/", {**fields, "overlap_hours": "-1"})
    assert refused.status_code == 400
    assert "whsec_" not in refused.text


async def test_deleting_asks_for_the_name(world: World, browser: Browser) -> None:
    client = await world.a_client()
    number = await world.a_server(client)
    await browser.sign_in(token=client.token)
    refused = await browser.post(f"/servers/{number}/delete/", {"confirm": "another"})
    assert refused.status_code == 400
    assert (await client("GET", f"/servers/{number}/")).status_code == 200
    done = await browser.post(f"/servers/{number}/delete/", {"confirm": "web-1"})
    assert done.headers["location"] == "/servers/?done=deleted"
    assert (await client("GET", f"/servers/{number}/")).status_code == 404


async def test_the_bare_address_leads_in(world: World, browser: Browser) -> None:
    assert (await browser.get("/")).headers["location"] == "/sign-in/"
    await browser.sign_in(token=(await world.a_client()).token)
    assert (await browser.get("/")).headers["location"] == "/servers/"


def test_what_is_of_others_is_what_was_locked() -> None:
    folder = files("openvps.web") / "vendor"
    lines = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    sums = {name: digest for digest, name in lines}
    there = {one.name: one for one in folder.iterdir() if one.name not in {"SHA256SUMS", "packages.lock"}}
    assert {name: hashlib.sha256(one.read_bytes()).hexdigest() for name, one in there.items()} == sums


async def test_no_page_is_public_by_mistake(world: World) -> None:
    doors = [one.path for one in iter_route_contexts(world.app.routes) if isinstance(one.original_route, Door)]
    assert set(doors) == {"/", "/sign-in/", "/sign-in/code/"}
