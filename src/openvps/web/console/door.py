"""The door: sign in, sign out."""

from fastapi import APIRouter, Request, Response

from openvps.accounts.sessions import enter
from openvps.core.errors import Error, TooMany, Unauthenticated
from openvps.web.console import cookies
from openvps.web.console.page import Door, Page, Visit, problems_of, visit_of

doors = APIRouter(include_in_schema=False, route_class=Door)
router = APIRouter(include_in_schema=False, route_class=Page)


@doors.get("/")
async def home(request: Request) -> Response:
    """Lead to the servers, or to the sign-in page."""
    return visit_of(request).to("/servers/" if cookies.read(request, cookies.SESSION) else "/sign-in/")


@doors.get("/sign-in/")
async def sign_in_page(request: Request) -> Response:
    """Ask who is there."""
    return visit_of(request).page("sign_in.html", email="")


@doors.post("/sign-in/")
async def sign_in(request: Request) -> Response:
    """Begin a session by password or token; or ask for the code of a second factor."""
    visit = visit_of(request)
    form = visit.sent()
    email = form.text("email")
    try:
        if token := form.text("token"):
            cookie = await enter.with_token(request, token)
        else:
            cookie = await enter.with_password(request, email, form.raw("password"), visit.cookie)
    except (Unauthenticated, TooMany) as error:
        return _refused(visit, error, "sign_in.html", email=email)
    return _let_in(visit, cookie) if cookie else visit.page("sign_in_code.html")


@doors.get("/sign-in/code/")
async def sign_in_code_page(request: Request) -> Response:
    """Ask for the code of a second factor (again: in another language)."""
    return visit_of(request).page("sign_in_code.html")


@doors.post("/sign-in/code/")
async def sign_in_code(request: Request) -> Response:
    """Begin the session of who has given the password, by the code of the second factor."""
    visit = visit_of(request)
    try:
        cookie = await enter.with_code(request, visit.sent().text("code"), visit.cookie)
    except enter.HalfWayOver as error:
        return _refused(visit, error, "sign_in.html", email="")
    except (Unauthenticated, TooMany) as error:
        return _refused(visit, error, "sign_in_code.html")
    return _let_in(visit, cookie)


def _let_in(visit: Visit, cookie: str) -> Response:
    answer = visit.to("/servers/")
    cookies.write(visit.request, answer, cookies.SESSION, cookie, lives_s=int(enter.LIVES.total_seconds()))
    return answer


def _refused(visit: Visit, error: Error, template: str, **context: str) -> Response:
    answer = visit.page(template, error.status, problems=problems_of(error), **context)
    if error.retry_after_s is not None:
        answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer


@router.post("/sign-out/")
async def sign_out(request: Request) -> Response:
    """End the session."""
    visit = visit_of(request)
    await enter.leave(request, visit.cookie)
    answer = visit.to("/sign-in/", "out")
    cookies.remove(request, answer, cookies.SESSION)
    return answer
