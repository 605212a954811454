"""Forms: read, and believed only where our own page made them.

Three things hold, each by itself: the cookies are SameSite; the browser says that the form came from our own page
(Sec-Fetch-Site, Origin); and the form bears a mark that only who can read the page knows, made of the cookie.
"""

import hashlib
import hmac
from urllib.parse import parse_qs

from fastapi import Request

from openvps.core.errors import BadRequest, Forbidden

MARK = "_mark"
ONCE = "_once"
MOST_FIELDS = 300


class Form:
    """A sent form's fields, all of them texts."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """Return a field without the blanks around it; empty where it wasn't sent."""
        return self.raw(name).strip()

    def raw(self, name: str) -> str:
        """Return a field as it was sent, for a password."""
        return self._fields.get(name, [""])[0]

    def texts(self, name: str) -> list[str]:
        """Return all values of a field that may be there several times."""
        return [one for one in self._fields.get(name, []) if one]

    def number(self, name: str) -> int | str:
        """Return a field that should be a number; what isn't one is for the API to refuse."""
        said = self.text(name)
        return int(said) if said.isascii() and said.isdecimal() and len(said) < 19 else said  # noqa: PLR2004 -- bigint


def mark(cookie: str) -> str:
    """Return what a form must bear that is sent with this cookie."""
    return hmac.new(cookie.encode(), b"form", hashlib.sha256).hexdigest()


def read(request: Request, cookie: str) -> Form:
    """Return the form of the read body. Raises BadRequest, Forbidden where it isn't from a page of ours."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise BadRequest("Send the form as application/x-www-form-urlencoded.")
    try:
        raw = request.state.raw.decode()
        form = Form(parse_qs(raw, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS))
    except ValueError:
        raise BadRequest("This form can't be read.") from None
    marked = hmac.compare_digest(form.raw(MARK).encode(), mark(cookie).encode())
    if not (cookie and marked and _from_here(request)):
        raise Forbidden("This form is from another page or an ended session. Load its page anew and try again.")
    return form


def _from_here(request: Request) -> bool:
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    return origin is None or origin.partition("://")[2] == request.headers.get("host", "")
