"""The operator's part: everybody's accounts, the cells, what doesn't get on, and the log of what was done."""

from fastapi import APIRouter, Request, Response

from openvps.core.errors import NotFound
from openvps.web.console.forms import ONCE, Form
from openvps.web.console.inside import Answer
from openvps.web.console.page import Page, Visit, visit_of

router = APIRouter(prefix="/operator", include_in_schema=False, route_class=Page)

VERBS = ("disable", "enable", "suspend", "unsuspend", "invite", "credit", "reset-second-factor")


@router.get("/accounts/")
async def accounts(request: Request) -> Response:
    """All accounts."""
    return await _accounts(visit_of(request))


@router.post("/accounts/")
async def create_account(request: Request) -> Response:
    """Make an account, and show its invite this once."""
    visit = visit_of(request)
    form = visit.sent()
    names = ("email", "first_name", "last_name", "company_name")
    body = {name: form.text(name) for name in names if form.text(name)}
    answer = await visit.api.post("/admin/accounts/", body, once=form.text(ONCE) or None)
    if answer.good:
        return await _accounts(visit, invite=answer.body["invite"] or "", email=answer.body["email"])
    return await _accounts(visit, answer.status, problems=answer.problems)


@router.get("/accounts/{number}/")
async def account(request: Request, number: int) -> Response:
    """One account, with what an operator may do about it."""
    return await _account(visit_of(request), number)


@router.post("/accounts/{number}/")
async def change_account(request: Request, number: int) -> Response:
    """Suspend, disable, invite or credit an account, or the reverse."""
    visit = visit_of(request)
    form = visit.sent()
    verb = form.text("verb")
    if verb not in VERBS:
        raise NotFound
    answer = await visit.api.post(
        f"/admin/accounts/{number}/{verb}/", _body(form, verb), once=form.text(ONCE) or None
    )
    if answer.good and verb == "invite":
        return await _account(visit, number, invite=answer.body["invite"])
    if answer.good:
        return visit.to(f"/operator/accounts/{number}/", f"account_{verb}")
    return await _account(visit, number, answer=answer)


@router.get("/audit/")
async def audit(request: Request) -> Response:
    """What was done by everybody, and by commands on the host."""
    visit = visit_of(request)
    number = request.query_params.get("page", "1")
    asked = {
        name: value for name in ("operation", "subject", "account_id") if (value := request.query_params.get(name))
    }
    answer = await visit.api.get("/admin/audit/", page_size=50, page=number, **asked)
    if not answer.good:
        return visit.refused(answer)
    return visit.page(
        "activity.html", entries=answer.body["results"], log=answer.body, number=number, all=True, asked=asked
    )


@router.get("/cells/")
async def cells(request: Request) -> Response:
    """The cells with their room and health, and what doesn't get on."""
    return await _cells(visit_of(request))


@router.post("/cells/{number}/")
async def change_cell(request: Request, number: int) -> Response:
    """Have a cell take no new servers, or take them again."""
    visit = visit_of(request)
    verb = visit.sent().text("verb")
    if verb not in {"pause", "resume"}:
        raise NotFound
    body = {"reason": visit.sent().text("reason")} if verb == "pause" else None
    answer = await visit.api.post(f"/admin/cells/{number}/{verb}/", body)
    return visit.to("/operator/cells/", "saved") if answer.good else visit.refused(answer)


@router.post("/actions/{number}/")
async def change_action(request: Request, number: int) -> Response:
    """Have an unfinished action tried now, or ended with a reason."""
    visit = visit_of(request)
    verb = visit.sent().text("verb")
    if verb not in {"retry", "cancel"}:
        raise NotFound
    body = {"reason": visit.sent().text("reason")} if verb == "cancel" else None
    answer = await visit.api.post(f"/admin/actions/{number}/{verb}/", body)
    return visit.to("/operator/cells/", "saved") if answer.good else visit.refused(answer)


async def _cells(visit: Visit) -> Response:
    answer = await visit.api.get("/admin/cells/", page_size=100)
    if not answer.good:
        return visit.refused(answer)
    return visit.page(
        "cells.html",
        cells=answer.body["results"],
        actions=await visit.api.results("/admin/actions/"),
    )


def _body(form: Form, verb: str) -> dict[str, str | bool]:
    if verb in {"invite", "reset-second-factor"}:
        return {}
    if verb == "credit":
        body = {name: form.text(name) for name in ("amount", "reason", "reference")}
        given = {name: value for name, value in body.items() if value}
        return given | {"adjustment": bool(form.text("adjustment"))}
    return {"reason": form.text("reason")}


async def _accounts(
    visit: Visit,
    status: int = 200,
    *,
    problems: dict[str, list[str]] | None = None,
    invite: str = "",
    email: str = "",
) -> Response:
    number = visit.request.query_params.get("page", "1")
    answer = await visit.api.get("/admin/accounts/", page_size=100, page=number)
    if not answer.good:
        return visit.refused(answer)
    return visit.page(
        "accounts.html",
        status,
        accounts=answer.body["results"],
        log=answer.body,
        number=number,
        problems=problems or {},
        invite=invite,
        email=email,
    )


async def _account(visit: Visit, number: int, *, answer: Answer | None = None, invite: str = "") -> Response:
    found = await visit.api.get(f"/admin/accounts/{number}/")
    if not found.good:
        return visit.refused(found)
    return visit.page(
        "account.html",
        answer.status if answer else 200,
        account=found.body,
        problems=answer.problems if answer else {},
        invite=invite,
    )
