"""What every answer has: an id, JSON, tags, and a refusal in words for what is no request of ours."""

import gzip
import json
import re
from typing import Any

import pytest
from structlog.testing import capture_logs

from factories import World
from openvps.core.http.envelope import MAX_URL_BYTES

pytestmark = pytest.mark.anyio


async def test_every_answer_has_a_request_id(world: World) -> None:
    customer = await world.a_client()
    for method, path in (("GET", "/servers/"), ("GET", "/nothing/"), ("PUT", "/servers/"), ("GET", "/servers/0/")):
        assert re.fullmatch(r"[0-9a-f]{32}", (await customer(method, path)).headers["x-request-id"])
    assert (await world.http.get("/servers/")).headers["x-request-id"]


@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        ("a-Sane_id.1:2/3=", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("two words", False),
        ("<b>", False),
        ("", False),
    ],
)
async def test_a_sane_request_id_is_kept(world: World, sent: str, taken: bool) -> None:
    customer = await world.a_client()
    kept = (await customer("GET", "/servers/", headers={"X-Request-Id": sent})).headers["x-request-id"]
    assert (kept == sent) is taken


async def test_a_crash_is_json_with_the_id_that_stands_in_the_log(world: World) -> None:
    async def crash() -> None:
        raise ZeroDivisionError

    world.app.add_api_route("/api/v1/crash/", crash)
    with capture_logs() as logs:
        answer = await world.http.get("/crash/", headers={"X-Request-Id": "find-me"})
    assert answer.status_code == 500
    assert "find-me" in answer.json()["detail"]
    assert answer.headers["x-request-id"] == "find-me"
    assert [one["event"] for one in logs] == ["crashed"]


@pytest.mark.parametrize("path", ["/nothing/", "/", "/servers/1/nothing/", "/%zz/", "/%ff/", "/servers/%2e%2e/"])
async def test_an_unknown_path_is_404_in_json(world: World, path: str) -> None:
    answer = await (await world.a_client())("GET", path)
    assert (answer.status_code, answer.json()) == (
        404,
        {"detail": "Not Found."} if "%2e" not in path else {"detail": "Not found."},
    )


async def test_a_wrong_method_is_405_and_names_all_that_are_allowed(world: World) -> None:
    customer = await world.a_client()
    for method, path, allowed in (
        ("PUT", "/servers/", "GET, HEAD, POST"),
        ("OPTIONS", "/servers/", "GET, HEAD, POST"),
        ("POST", "/servers/1/", "GET, HEAD, PUT, PATCH, DELETE"),
        ("GET", "/servers/1/start/", "POST"),
        ("TRACE", "/plans/", "GET, HEAD"),
        ("HEAD", "/servers/1/start/", "POST"),
    ):
        answer = await customer(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed), (method, path)
        assert method == "HEAD" or answer.json() == {"detail": "Method Not Allowed."}


@pytest.mark.parametrize(
    ("sent", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"name": NaN}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"name": ' + b"1" * 5000 + b"}", "application/json", 400),
        (b"name=web", "application/x-www-form-urlencoded", 415),
        (b"{}", "text/plain", 415),
        (b'{"name": "' + b"x" * (1 << 20) + b'"}', "application/json", 413),
        (rb'{"name": "web", "location": "us\u0000west", "plan_id": 3, "os_id": 3}', "application/json", 400),
        (rb'{"name": "web", "location": "us\ud800west", "plan_id": 3, "os_id": 3}', "application/json", 400),
        ('{"name": "web"}'.encode("utf-16"), "application/json", 400),
    ],
)
async def test_a_body_that_is_none_of_ours_is_refused_in_json(
    world: World, sent: bytes, kind: str, status: int
) -> None:
    customer = await world.a_client()
    answer = await customer("POST", "/servers/", content=sent, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert answer.json()


@pytest.mark.parametrize("path", ["/servers/%00/", "/servers/?name=a%00b", "/servers/?x=%00", "/plans/?location=%00"])
async def test_a_nul_byte_in_the_url_is_400(world: World, path: str) -> None:
    answer = await (await world.a_client())("GET", path)
    assert answer.status_code == 400
    assert "NUL" in answer.json()["detail"]


async def test_bad_percent_encoding_in_the_query_crashes_nothing(world: World) -> None:
    customer = await world.a_client()
    for query in ("location=%zz", "location=%ff", "status=%ff", "page=%", "location=" + "x" * 5000, "&&=&a"):
        answer = await customer("GET", f"/servers/?{query}")
        assert answer.status_code in {200, 400, 404}, query
        assert answer.json()


async def test_an_overlong_url_is_414(world: World) -> None:
    answer = await (await world.a_client())("GET", "/servers/?location=" + "x" * MAX_URL_BYTES)
    assert answer.status_code == 414
    assert answer.json()
    assert answer.headers["x-request-id"]


async def test_who_has_the_answer_gets_304_until_it_changes(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer, name="before")
    for path in ("/servers/", f"/servers/{number}/", "/plans/"):
        first = await customer("GET", path)
        tag = first.headers["etag"]
        assert tag.startswith('W/"')
        assert first.headers["cache-control"] == "private, no-cache"
        assert "Authorization" in first.headers["vary"]
        for asked in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
            again = await customer("GET", path, headers={"If-None-Match": asked})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert "content-length" not in again.headers
        assert (await customer("GET", path, headers={"If-None-Match": '"other"'})).status_code == 200
    tag = (await customer("GET", "/servers/")).headers["etag"]
    await customer("PATCH", f"/servers/{number}/", {"name": "after"})
    changed = await customer("GET", "/servers/", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


async def test_what_is_no_reading_is_never_kept(world: World) -> None:
    customer = await world.a_client()
    number = await world.a_server(customer)
    for method, path in (("POST", f"/servers/{number}/stop/"), ("GET", "/servers/0/"), ("PUT", "/servers/")):
        answer = await customer(method, path)
        assert answer.headers["cache-control"] == "no-store"
        assert "etag" not in answer.headers


async def test_head_is_get_without_the_body(world: World) -> None:
    customer = await world.a_client()
    read, head = await customer("GET", "/plans/"), await customer("HEAD", "/plans/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == read.headers["etag"]
    assert (await customer("HEAD", "/servers/0/")).status_code == 404
    assert (await customer("HEAD", "/plans/", headers={"If-None-Match": read.headers["etag"]})).status_code == 304


async def test_long_answers_are_zipped_for_who_takes_it_and_have_the_same_tag(world: World) -> None:
    customer = await world.a_client()
    body, headers = await _raw(customer.token, world, "gzip")
    plain, plain_headers = await _raw(customer.token, world, "identity")
    assert headers[b"content-encoding"] == b"gzip"
    assert b"content-encoding" not in plain_headers
    assert gzip.decompress(body) == plain
    assert int(headers[b"content-length"]) == len(body) < len(plain)
    assert headers[b"etag"] == plain_headers[b"etag"]
    assert b"Accept-Encoding" in headers[b"vary"]
    assert b"Authorization" in headers[b"vary"]
    assert json.loads(plain)["results"]


async def _raw(token: str, world: World, encoding: str) -> tuple[bytes, dict[bytes, bytes]]:
    """Ask the application itself: a client would unpack what it got."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {token}".encode()), (b"accept-encoding", encoding.encode())]
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/api/v1/plans/",
        "raw_path": b"/api/v1/plans/",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": headers,
        "server": ("api.test", 80),
        "client": ("192.0.2.1", 1),
    }
    await world.app(scope, receive, send)
    return b"".join(one["body"] for one in sent[1:]), dict(sent[0]["headers"])
