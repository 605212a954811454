"""What can go wrong, as the customer is told it.

Error                  500
├── BadRequest         400  one problem in words
├── InvalidFields      400  every bad field at once
├── Unauthenticated    401  missing or invalid token
├── InsufficientCredit 402
├── Forbidden          403  the token lacks a permission
├── NotFound           404  unknown, or another account's
├── Conflict           409  an Idempotency-Key in use, or used for something else
├── TooLarge           413
├── UnsupportedMedia   415
├── TooMany            429  with Retry-After
└── Unavailable        503  with Retry-After

Raised anywhere below the roofs, translated once, in `app.py`. The text says what to do; `context`
goes to the log only.
"""

from http import HTTPStatus
from typing import Any


class Error(Exception):
    """A refusal with an HTTP status, a text for the customer and context for the log."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self, detail: str, *, retry_after_s: int | None = None, **context: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.context = context

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the answer."""
        return {"detail": self.detail}


class BadRequest(Error):
    """The request can't be carried out as it stands."""

    status = HTTPStatus.BAD_REQUEST


class InvalidFields(Error):
    """Fields of the request are wrong: `{"field": ["text", ...]}`."""

    status = HTTPStatus.BAD_REQUEST

    def __init__(self, fields: dict[str, list[str]]) -> None:
        super().__init__("; ".join(f"{name}: {' '.join(texts)}" for name, texts in fields.items()))
        self.fields = fields

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the answer: the texts of each bad field."""
        return dict(self.fields)


class Unauthenticated(Error):
    """No token, or one that is unknown, expired or revoked."""

    status = HTTPStatus.UNAUTHORIZED


class InsufficientCredit(Error):
    """The account's credit doesn't cover what was asked for."""

    status = HTTPStatus.PAYMENT_REQUIRED


class Forbidden(Error):
    """The token lacks the permission."""

    status = HTTPStatus.FORBIDDEN


class NotFound(Error):
    """There is no such thing in this account."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, detail: str = "Not found.", **context: Any) -> None:
        super().__init__(detail, **context)


class Conflict(Error):
    """The request's Idempotency-Key is in use, or was used for another request."""

    status = HTTPStatus.CONFLICT


class TooLarge(Error):
    """The request's body is over the limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedMedia(Error):
    """The request's body is not JSON by its Content-Type."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class TooMany(Error):
    """A limit on how often something may be asked."""

    status = HTTPStatus.TOO_MANY_REQUESTS


class Unavailable(Error):
    """Nothing is wrong with the request; there is no room, or nobody there, to carry it out now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
