"""Sending a call until there is an answer: when it is sent again, and when that would be a mistake.

What the API refuses for now (429, 503, a 409 that says when) is sent again after `Retry-After`, or after a pause that
doubles. An answer that is lost is another matter: the request may have been carried out. Whatever may be done twice
is sent again; a POST only if this API keeps its answers by Idempotency-Key, which its OpenAPI document says.
"""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import count
from typing import Any, TypeVar, cast
from uuid import uuid4

from pydantic import ValidationError

from openvps.client.answer import Answer
from openvps.client.calls import Call, Lost, Pages, Pause, Reply, Steps
from openvps.client.errors import AnswerLost, Unreachable, Unreadable, refusal

A = TypeVar("A", bound=Answer)

LATER = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
GATEWAY = {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}  # whether it arrived isn't known
DOCUMENT = Call("GET", "/openapi.json")


def _silent(_reason: str, _seconds: float) -> None:
    """Tell nobody."""


@dataclass
class Endpoint:
    """What is known of an API, and how patient to be with it; clock and chance are arguments for tests."""

    retries: int = 4
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0  # asked to wait longer, we tell the caller instead
    on_pause: Callable[[str, float], None] = _silent
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    make_key: Callable[[], str] = lambda: str(uuid4())
    keeps_keys: bool | None = None  # not known until it matters

    def pause_s(self, attempt: int, asked_s: float | None) -> float:
        """Return how long to wait before the next try: as asked, else doubled each time, and not all at once."""
        if asked_s is not None:
            return asked_s
        return min(self.first_pause_s * 2**attempt, self.longest_pause_s) * (0.5 + self.chance() / 2)


def send(endpoint: Endpoint, call: Call) -> Steps[Reply]:
    """Send until answered. Raises what `refusal` returns, Unreachable, AnswerLost."""
    if call.method == "POST" and call.key is None:
        call = replace(call, key=endpoint.make_key())
    lost = False
    for attempt in count():
        got: Reply | Lost = yield call
        last = attempt >= endpoint.retries
        if isinstance(got, Lost):
            if got.sent:
                lost = True
                if not (yield from _repeatable(endpoint, call)):
                    raise AnswerLost(
                        f"{got.reason}; whether {call.method} {call.path} was carried out isn't known:"
                        " look before you do it again"
                    )
            if last:
                raise Unreachable(got.reason)
            reason, asked_s = got.reason, None
        elif lost and call.method == "DELETE" and got.status == HTTPStatus.NOT_FOUND:
            return Reply(HTTPStatus.NO_CONTENT, {}, b"")  # the try whose answer was lost deleted it
        elif got.status < HTTPStatus.BAD_REQUEST:
            return got
        else:
            asked_s = got.retry_after_s
            later = got.status in LATER or (got.status == HTTPStatus.CONFLICT and asked_s is not None)
            again = later or (got.status in GATEWAY and (yield from _repeatable(endpoint, call)))
            if last or not again or (asked_s or 0) > endpoint.longest_pause_s:
                raise refusal(got)
            reason = str(refusal(got))
        seconds = endpoint.pause_s(attempt, asked_s)
        endpoint.on_pause(reason, seconds)
        yield Pause(seconds)
    raise AssertionError  # count() has no end


def _repeatable(endpoint: Endpoint, call: Call) -> Steps[bool]:
    """Whether a call that may have been carried out may be sent again."""
    if call.method != "POST":
        return True
    if endpoint.keeps_keys is None:
        got: Reply | Lost = yield DOCUMENT
        if isinstance(got, Lost):
            return False
        endpoint.keeps_keys = got.status == HTTPStatus.OK and b'"Idempotency-Key"' in got.content
    return endpoint.keeps_keys


def answer(endpoint: Endpoint, call: Call, form: type[A]) -> Steps[A]:
    """Send a call and read its answer. Raises also Unreadable."""
    return read(form, data((yield from send(endpoint, call))))


def page(endpoint: Endpoint, pages: Pages[A], call: Call) -> Steps[tuple[list[A], Call | None]]:
    """Return what is on one page of a list, and the call for the next one.

    The next page's address is the API's, but only its query is taken: behind a proxy its host may be another one,
    which shall not get our token.
    """
    body = data((yield from send(endpoint, call)))
    if isinstance(body, list):  # a list that isn't paged
        results, following = cast("list[Any]", body), None
    elif isinstance(body, dict) and "results" in body:
        found = cast("dict[str, Any]", body)
        results, following = cast("list[Any]", found["results"]), cast("str | None", found.get("next"))
    else:
        raise Unreadable(f"{call.path} answered no list")
    after = replace(pages.first, query=following.partition("?")[2]) if following else None
    return [read(pages.item, one) for one in results], after


def data(reply: Reply) -> Any:
    """Return the JSON of an answer. Raises Unreadable."""
    try:
        return json.loads(reply.content)
    except ValueError as error:
        raise Unreadable("the answer isn't JSON: is this the base URL of the API?") from error


def read(form: type[A], body: Any) -> A:
    """Return a form as answered. Raises Unreadable, naming what is wrong with it."""
    try:
        return form.model_validate(body)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, one["loc"])) or "all of it" for one in error.errors())
        raise Unreadable(f"the answer isn't a {form.__name__}: {places}") from error
