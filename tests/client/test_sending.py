"""When a call is sent again: tried on described requests alone, without a network and without waiting."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from openvps.client import errors
from openvps.client.calls import Call, Lost, Pages, Pause, Reply, Steps
from openvps.client.models import ServerSummary
from openvps.client.sending import Endpoint, page, send

GONE = Lost("no answer", sent=True)
OK = Reply(200, {}, b"{}")
GET, POST, DELETE = Call("GET", "/servers/"), Call("POST", "/servers/", body={}), Call("DELETE", "/servers/7/")


def refused(status: int, body: Any = None, **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): text for name, text in headers.items()}, json.dumps(body).encode())


def drive(steps: Steps[Any], answers: Sequence[Reply | Lost]) -> tuple[Any, list[Call | Pause]]:
    """Answer each call in turn; returns the result, and all that was asked for."""
    asked: list[Call | Pause] = []
    left = list(answers)
    got: Any = None
    while True:
        try:
            wanted = steps.send(got)
        except StopIteration as done:
            assert left == []
            return done.value, asked
        asked.append(wanted)
        got = None if isinstance(wanted, Pause) else left.pop(0)


def endpoint(**fields: Any) -> Endpoint:
    return Endpoint(chance=lambda: 1.0, make_key=lambda: "my-key", **fields)


@pytest.mark.parametrize("status", [429, 503, 409])
def test_who_is_told_to_wait_waits_as_long_and_asks_again(status: int) -> None:
    _, asked = drive(send(endpoint(), GET), [refused(status, retry_after="7"), OK])
    assert asked == [GET, Pause(7), GET]


def test_without_a_word_how_long_the_pauses_double() -> None:
    _, asked = drive(send(endpoint(), GET), [refused(503)] * 3 + [OK])
    assert [one.seconds for one in asked if isinstance(one, Pause)] == [0.5, 1.0, 2.0]


def test_who_is_told_to_wait_for_long_is_told_why_at_once() -> None:
    with pytest.raises(errors.Unavailable, match="has no room") as told:
        drive(send(endpoint(), POST), [refused(503, {"detail": "It has no room."}, retry_after="300")])
    assert told.value.retry_after_s == 300


def test_after_the_last_try_the_refusal_is_raised() -> None:
    with pytest.raises(errors.TooManyRequests):
        drive(send(endpoint(retries=2), GET), [refused(429)] * 3)


def test_a_lost_answer_to_a_get_is_asked_for_again() -> None:
    assert drive(send(endpoint(), GET), [GONE, OK])[0] is OK


def test_a_lost_answer_to_a_post_is_asked_for_again_by_its_key_where_keys_are_kept() -> None:
    document = Reply(200, {}, b'{"parameters": {"Idempotency-Key": {}}}')
    kept = endpoint()
    _, asked = drive(send(kept, POST), [GONE, document, GONE, OK])
    calls = [(one.method, one.path, one.key) for one in asked if isinstance(one, Call)]
    post = ("POST", "/servers/", "my-key")
    assert calls == [post, ("GET", "/openapi.json", None), post, post]
    assert kept.keeps_keys is True


@pytest.mark.parametrize("document", [Reply(404, {}, b""), Reply(200, {}, b"{}"), GONE])
def test_elsewhere_a_post_whose_answer_is_lost_is_never_sent_twice(document: Reply | Lost) -> None:
    with pytest.raises(errors.AnswerLost, match="isn't known"):
        drive(send(endpoint(), POST), [GONE, document])


def test_a_post_that_never_left_is_sent_again() -> None:
    assert drive(send(endpoint(), POST), [Lost("refused", sent=False), OK])[0] is OK
    with pytest.raises(errors.Unreachable):
        drive(send(endpoint(retries=1), POST), [Lost("refused", sent=False)] * 2)


def test_a_delete_whose_answer_was_lost_may_find_nothing_any_more() -> None:
    assert drive(send(endpoint(), DELETE), [GONE, refused(404)])[0].status == 204
    with pytest.raises(errors.NotFound):
        drive(send(endpoint(), DELETE), [refused(404)])


def test_a_refusal_names_every_bad_field() -> None:
    body = {"name": ["Letters only."], "plan_id": ["No such plan."]}
    with pytest.raises(errors.BadRequest) as told:
        drive(send(endpoint(), POST), [refused(400, body, x_request_id="abc")])
    assert told.value.fields == body
    assert str(told.value) == "name: Letters only.; plan_id: No such plan."
    assert told.value.request_id == "abc"


def test_a_refusal_by_something_else_is_told_too() -> None:
    with pytest.raises(errors.Unavailable, match="answered 500"):
        drive(send(endpoint(), GET), [Reply(500, {}, b"<html>")])


def test_the_next_page_is_asked_for_at_our_own_base_whatever_its_address_is() -> None:
    pages = Pages(Call("GET", "/servers/", {"page_size": 1}), ServerSummary)
    body: Any = {"count": 2, "next": "http://elsewhere.test/api/v1/servers/?cursor=x%3D&page_size=1", "results": []}
    (_, after), _ = drive(page(endpoint(), pages, pages.first), [refused(200, body)])
    assert after == Call("GET", "/servers/", "cursor=x%3D&page_size=1")


def test_an_answer_of_another_form_is_said_to_be_one() -> None:
    pages = Pages(Call("GET", "/servers/"), ServerSummary)
    with pytest.raises(errors.Unreadable, match="ServerSummary: id, name"):
        drive(page(endpoint(), pages, pages.first), [refused(200, [{"status": "active"}])])
    with pytest.raises(errors.Unreadable, match="JSON"):
        drive(page(endpoint(), pages, pages.first), [Reply(200, {}, b"<html>")])
