"""What can go wrong, as the API told it.

ClientError
├── Refused               the API's answer: status, text, and the texts of each bad field
│   ├── BadRequest        400
│   ├── Unauthenticated   401
│   ├── PaymentRequired   402
│   ├── Forbidden         403
│   ├── NotFound          404
│   ├── Conflict          409
│   ├── TooManyRequests   429  after the last try
│   └── Unavailable       503  and other 5xx, after the last try
├── Unreachable           no connection to the API
├── AnswerLost            it may have been done or not: look before doing it again
├── Unreadable            the answer isn't one of this API
├── Failed                what was waited for ended in failure
└── NotDone               it isn't done within the time that was given; it goes on
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

from openvps.client.calls import Reply


class ClientError(Exception):
    """Something went wrong with a call to the API."""


class Refused(ClientError):
    """The API refused: `fields` has the texts of each bad field, `request_id` is what its operator asks for."""

    def __init__(self, reply: Reply) -> None:
        self.status = reply.status
        self.request_id = reply.headers.get("x-request-id")
        self.retry_after_s = reply.retry_after_s
        self.detail, self.fields = _told(reply)
        texts = [f"{name}: {' '.join(told)}" for name, told in self.fields.items()]
        super().__init__("; ".join([self.detail, *texts] if self.detail else texts))


class BadRequest(Refused):
    """The request can't be carried out as it stands."""


class Unauthenticated(Refused):
    """No token, or one that is unknown, expired or revoked."""


class PaymentRequired(Refused):
    """The account's credit doesn't cover it."""


class Forbidden(Refused):
    """The token lacks the permission."""


class NotFound(Refused):
    """There is no such thing in this account."""


class Conflict(Refused):
    """The Idempotency-Key is in use, or was used for another request."""


class TooManyRequests(Refused):
    """Asked too often, also after the last try."""


class Unavailable(Refused):
    """There is no room or nobody there to carry it out, also after the last try."""


class Unreachable(ClientError):
    """The API doesn't take connections."""


class AnswerLost(ClientError):
    """A request was sent and no answer came; whether it was done isn't known."""


class Unreadable(ClientError):
    """The answer isn't one of this API; perhaps the base URL isn't right."""


class Failed(ClientError):
    """What was waited for ended in failure, for `reason`."""

    def __init__(self, subject: str, reason: str | None) -> None:
        self.subject = subject
        self.reason = reason or "no reason was given"
        super().__init__(f"{subject}: {self.reason}")


class NotDone(ClientError):
    """It isn't done within the time that was given; it goes on."""


_BY_STATUS: Mapping[int, type[Refused]] = {
    HTTPStatus.BAD_REQUEST: BadRequest,
    HTTPStatus.UNAUTHORIZED: Unauthenticated,
    HTTPStatus.PAYMENT_REQUIRED: PaymentRequired,
    HTTPStatus.FORBIDDEN: Forbidden,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.TOO_MANY_REQUESTS: TooManyRequests,
}


def refusal(reply: Reply) -> Refused:
    """Return the exception of an answer that is a refusal."""
    other = Unavailable if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR else Refused
    return _BY_STATUS.get(reply.status, other)(reply)


def _told(reply: Reply) -> tuple[str, dict[str, list[str]]]:
    """Return the one problem, and the texts of each bad field, of a refusal of whatever form."""
    fallback = f"the API answered {reply.status}"
    try:
        body: Any = json.loads(reply.content)
    except ValueError:
        return fallback, {}
    if not isinstance(body, dict):
        return fallback, {}
    fields = {name: _texts(told) for name, told in cast("dict[str, Any]", body).items()}
    detail = " ".join(fields.pop("detail", []))
    return detail or ("" if fields else fallback), fields


def _texts(told: Any) -> list[str]:
    return [str(one) for one in cast("list[Any]", told)] if isinstance(told, list) else [str(told)]
