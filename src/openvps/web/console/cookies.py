"""The console's cookies: the session, its form mark before there is one, and the language.

Over HTTPS they are `__Host-` cookies, which no other host and no plain connection can set. Over plain HTTP, which is
only ever served to this machine itself (an SSH tunnel), browsers refuse those.
"""

from fastapi import Request, Response

SESSION, FORM, LANGUAGE = "openvps-session", "openvps-form", "openvps-language"
YEAR_S = 365 * 24 * 3600


def _name(request: Request, name: str) -> str:
    return f"__Host-{name}" if request.url.scheme == "https" else name


def read(request: Request, name: str) -> str:
    """Return a cookie's text, empty where there is none."""
    return request.cookies.get(_name(request, name), "")[:200]


def write(request: Request, response: Response, name: str, value: str, *, lives_s: int | None = None) -> None:
    """Set a cookie that no script can read, and that only our own pages' requests and links to us bring."""
    response.set_cookie(
        _name(request, name),
        value,
        max_age=lives_s,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


def remove(request: Request, response: Response, name: str) -> None:
    """Have the browser forget a cookie."""
    write(request, response, name, "", lives_s=0)
