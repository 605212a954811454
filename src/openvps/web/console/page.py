"""A page's walk: cookie, session, form, handler, HTML. `Page` is the route of who is signed in, `Door` of others.

What goes wrong is told on a page too; where the session has ended, the sign-in page is next.
"""

import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from babel import dates
from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute

from openvps.accounts.queries import LiveToken
from openvps.accounts.sessions import enter
from openvps.core.errors import Error, Unauthenticated
from openvps.core.requests import read_body
from openvps.web import languages
from openvps.web.console import cookies, files, forms
from openvps.web.console.inside import NOT_FOUND, Answer, Inside
from openvps.web.site import environment

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",  # `no-referrer` would have browsers hide where a form comes from
    "Cache-Control": "no-store",  # nothing of an account is left in a browser
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
ASKED_BY_HTMX = "hx-request"
FORMS = {"en": "en_GB"}  # how dates are written, where the language alone would be its largest country's way

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass
class Visit:
    """One request of a browser: whose, in which language, with which form."""

    request: Request
    cookie: str
    language: str
    who: LiveToken | None = None
    form: forms.Form | None = None

    @property
    def api(self) -> Inside:
        """The API, as this session's account."""
        return Inside(self.request, enter.digest(self.cookie), self.request.app.state.site.base_path)

    def sent(self) -> forms.Form:
        """Return the form; the route has read and believed it."""
        if self.form is None:
            raise LookupError("this route takes no form")
        return self.form

    def page(self, template: str, status: int = 200, **context: Any) -> Response:
        """Return a page, or a part of one."""
        query = self.request.query_params
        text = (
            environment()
            .get_template(f"console/{template}")
            .render(
                _=languages.translations(self.language).gettext,
                base=self.request.app.state.site.base_path,
                currency=self.request.app.state.settings.currency,
                done=query.get("done", ""),
                file=files.address,
                here=self.request.url.path,
                language=self.language,
                languages=languages.available(),
                mark=forms.mark(self.cookie),
                moment=partial(moment, language=self.language),
                once=secrets.token_urlsafe(16),
                problems=context.pop("problems", {}),
                version=_version(),
                who=self.who,
                **context,
            )
        )
        return Response(text, status, media_type="text/html", headers=self.headers())

    def headers(self) -> dict[str, str]:
        """Return what every page is sent with."""
        return {**HEADERS, "Content-Language": self.language}

    def to(self, path: str, done: str = "") -> Response:
        """Lead to a page, which says what was done."""
        return RedirectResponse(path + (f"?done={done}" if done else ""), HTTPStatus.SEE_OTHER, HEADERS)

    def refused(self, answer: Answer) -> Response:
        """Say on a page of its own why something couldn't be done or shown."""
        return self.page("error.html", answer.status, problems=answer.problems, missing=answer.status == NOT_FOUND)


def visit_of(request: Request) -> Visit:
    """Return the visit that a handler serves."""
    return request.state.visit


class Door(APIRoute):
    """A page for who isn't signed in. Its forms bear the mark of a cookie that it sets for them."""

    def get_route_handler(self) -> Handler:
        """Return the handler, walked to as above."""
        handle = super().get_route_handler()

        async def walk(request: Request) -> Response:
            request.state.raw = await read_body(request)
            known = cookies.read(request, cookies.FORM)
            visit = request.state.visit = Visit(request, known or secrets.token_urlsafe(32), _language(request))
            try:
                if request.method == "POST":
                    visit.form = forms.read(request, known)
                answer = await handle(request)
            except Error as error:
                answer = _told(visit, error)
            if not known:
                cookies.write(request, answer, cookies.FORM, visit.cookie)
            return _spoken(visit, answer)

        return walk


class Page(APIRoute):
    """A page for who is signed in."""

    def get_route_handler(self) -> Handler:
        """Return the handler, walked to as above."""
        handle = super().get_route_handler()

        async def walk(request: Request) -> Response:
            request.state.raw = await read_body(request)
            cookie = cookies.read(request, cookies.SESSION)
            visit = request.state.visit = Visit(request, cookie, _language(request))
            try:
                visit.who = await enter.find(request, cookie)
                if request.method == "POST":
                    visit.form = forms.read(request, cookie)
                answer = await handle(request)
            except Unauthenticated:
                answer = _out(visit)
            except Error as error:
                answer = _told(visit, error)
            return _spoken(visit, answer)

        return walk


def _out(visit: Visit) -> Response:
    """Lead to the sign-in page; htmx, which asks for a part of a page, is told to load the whole."""
    if ASKED_BY_HTMX in visit.request.headers:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={"HX-Redirect": "/sign-in/"})
    answer = visit.to("/sign-in/", "out" if visit.cookie else "")
    if visit.cookie:
        cookies.remove(visit.request, answer, cookies.SESSION)
    return answer


def problems_of(error: Error) -> dict[str, list[str]]:
    """Return what an error tells, by field."""
    return {name: text if isinstance(text, list) else [text] for name, text in error.body().items()}


def _told(visit: Visit, error: Error) -> Response:
    answer = visit.page("error.html", error.status, problems=problems_of(error), missing=error.status == NOT_FOUND)
    if error.retry_after_s is not None:
        answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer


def _language(request: Request) -> str:
    asked = request.query_params.get("lang") or cookies.read(request, cookies.LANGUAGE)
    return languages.choose(asked, request.headers.get("accept-language", ""))


def _spoken(visit: Visit, answer: Response) -> Response:
    """Keep the language that was chosen by `?lang=`."""
    if visit.request.query_params.get("lang") in languages.available():
        cookies.write(visit.request, answer, cookies.LANGUAGE, visit.language, lives_s=cookies.YEAR_S)
    return answer


def moment(text: str | None, language: str) -> str:
    """Write a moment of the API for people: UTC, in their language, with a clock of 24 hours."""
    if not text:
        return ""
    at = datetime.fromisoformat(text)
    return f"{dates.format_date(at, 'medium', locale=FORMS.get(language, language))}, {at:%H:%M:%S}"


@cache
def _version() -> str:
    return version("openvps")
