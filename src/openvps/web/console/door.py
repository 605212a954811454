"""The door: sign in, sign out."""

from fastapi import APIRouter, Request, Response

from openvps.accounts.sessions import enter
from openvps.core.errors import TooMany, Unauthenticated
from openvps.web.console import cookies
from openvps.web.console.page import Door, Page, problems_of, visit_of

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
    """Begin a session by password or token."""
    visit = visit_of(request)
    form = visit.sent()
    email = form.text("email")
    try:
        if token := form.text("token"):
            cookie = await enter.with_token(request, token)
        else:
            cookie = await enter.with_password(request, email, form.raw("password"))
    except (Unauthenticated, TooMany) as error:
        answer = visit.page("sign_in.html", error.status, email=email, problems=problems_of(error))
        if error.retry_after_s is not None:
            answer.headers["Retry-After"] = str(error.retry_after_s)
        return answer
    answer = visit.to("/servers/")
    cookies.write(request, answer, cookies.SESSION, cookie, lives_s=int(enter.LIVES.total_seconds()))
    return answer


@router.post("/sign-out/")
async def sign_out(request: Request) -> Response:
    """End the session."""
    visit = visit_of(request)
    await enter.leave(request, visit.cookie)
    answer = visit.to("/sign-in/", "out")
    cookies.remove(request, answer, cookies.SESSION)
    return answer
