"""How one signs in: the second factor, set up with a QR code that is drawn here."""

import segno
from fastapi import APIRouter, Request, Response
from markupsafe import Markup

from openvps.core.errors import NotFound
from openvps.web.console.page import Page, Visit, visit_of

router = APIRouter(prefix="/security", include_in_schema=False, route_class=Page)

PATH = "/account/second-factor/"
SCHEME = "otpauth://totp/"


@router.get("/")
async def security(request: Request) -> Response:
    """Whether signing in asks for a code, and what begins or ends that."""
    return await _security(visit_of(request))


@router.post("/")
async def change(request: Request) -> Response:
    """Begin, confirm or give up a second factor; what is shown once is on the page that follows."""
    visit = visit_of(request)
    form = visit.sent()
    password, code, link = form.raw("password"), form.text("code"), form.text("otpauth_url")
    match form.text("verb"):
        case "begin":
            answer = await visit.api.post(PATH, {"password": password})
            if answer.good:
                return await _security(visit, link=answer.body["otpauth_url"], secret=answer.body["secret"])
        case "confirm":
            answer = await visit.api.post(f"{PATH}confirm/", {"code": code})
            if answer.good:
                return await _security(visit, recovery=answer.body["recovery_codes"])
            if link.startswith(SCHEME):  # the page that sent it goes on: what it showed is shown nowhere else
                secret = form.text("secret")
                return await _security(visit, answer.status, problems=answer.problems, link=link, secret=secret)
        case "disable":
            answer = await visit.api.post(f"{PATH}disable/", {"password": password, "code": code})
            if answer.good:
                return visit.to("/security/", "factor_off")
        case _:
            raise NotFound
    return await _security(visit, answer.status, problems=answer.problems)


async def _security(
    visit: Visit,
    status: int = 200,
    *,
    problems: dict[str, list[str]] | None = None,
    link: str = "",
    secret: str = "",
    recovery: list[str] | None = None,
) -> Response:
    answer = await visit.api.get(PATH)
    if not answer.good:
        return visit.refused(answer)
    return visit.page(
        "security.html",
        status,
        factor=answer.body,
        problems=problems or {},
        link=link,
        drawn=drawn(link) if link else None,
        secret=secret,
        recovery=recovery or [],
    )


def drawn(link: str) -> Markup:
    """Return a QR code as SVG: black on white whatever the page's colours, as cameras want it."""
    made = segno.make_qr(link, error="m")
    return Markup(made.svg_inline(scale=5, border=4, light="#fff", omitsize=True))  # noqa: S704 -- drawn by us
