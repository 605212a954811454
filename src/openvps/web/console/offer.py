"""The operator's part: plans, and whether engine and database agree."""

from typing import Any

from fastapi import APIRouter, Request, Response

from openvps.core.errors import NotFound
from openvps.web.console.forms import ONCE
from openvps.web.console.page import Page, Visit, visit_of
from openvps.web.console.part import part

router = APIRouter(prefix="/operator", include_in_schema=False, route_class=Page)

TEXTS = ("slug", "name", "kind", "price", "description")
SIZES = ("vcpus", "memory_mib", "storage_gb", "bandwidth_gb")


@router.get("/plans/")
async def plans(request: Request) -> Response:
    """All plans, and a form for another one."""
    return await _plans(visit_of(request))


@router.post("/plans/")
async def create_plan(request: Request) -> Response:
    """Offer a new plan."""
    visit = visit_of(request)
    form = visit.sent()
    body = {name: form.text(name) for name in TEXTS} | {name: form.number(name) for name in SIZES}
    answer = await visit.api.post("/admin/plans/", body, once=form.text(ONCE) or None)
    if answer.good:
        return visit.to("/operator/plans/", "plan_create")
    return await _plans(visit, answer.status, problems=answer.problems, body=body)


@router.get("/plans/{number}/")
async def plan(request: Request, number: int) -> Response:
    """One plan, with what may be changed."""
    return await _plan(visit_of(request), number)


@router.post("/plans/{number}/")
async def change_plan(request: Request, number: int) -> Response:
    """Change a plan, or take it out of the offer."""
    visit = visit_of(request)
    form = visit.sent()
    verb, here = form.text("verb"), f"/admin/plans/{number}/"
    if verb == "retire":
        answer = await visit.api.post(f"{here}retire/")
    elif verb == "change":
        body: dict[str, Any] = {name: form.text(name) for name in ("name", "price", "description")}
        answer = await visit.api("PATCH", here, body=body | {"apply_to_existing": bool(form.text("apply"))})
    else:
        raise NotFound
    if answer.good:
        return visit.to(f"/operator/plans/{number}/", f"plan_{verb}")
    return await _plan(visit, number, answer.status, problems=answer.problems)


@router.get("/consistency/")
async def consistency(request: Request) -> Response:
    """The looks at whether engine and database agree."""
    visit = visit_of(request)
    answer = await visit.api.get("/admin/consistency-reports/", page_size=20)
    if not answer.good:
        return visit.refused(answer)
    return await part(visit, "consistency_now.html", "consistency.html", {"reports": answer.body["results"]})


@router.post("/consistency/")
async def check_consistency(request: Request) -> Response:
    """Have a worker look, and mend what it can if so asked."""
    visit = visit_of(request)
    answer = await visit.api.post("/admin/consistency-reports/", {"repair": bool(visit.sent().text("repair"))})
    return visit.to(f"/operator/consistency/{answer.body['id']}/") if answer.good else visit.refused(answer)


@router.get("/consistency/{number}/")
async def report(request: Request, number: int) -> Response:
    """What one look has found."""
    visit = visit_of(request)
    answer = await visit.api.get(f"/admin/consistency-reports/{number}/")
    if not answer.good:
        return visit.refused(answer)
    return await part(visit, "report_now.html", "report.html", {"report": answer.body})


async def _plans(
    visit: Visit,
    status: int = 200,
    *,
    problems: dict[str, list[str]] | None = None,
    body: dict[str, Any] | None = None,
) -> Response:
    answer = await visit.api.get("/admin/plans/", page_size=100)
    if not answer.good:
        return visit.refused(answer)
    shown = body or dict.fromkeys((*TEXTS, *SIZES), "")
    return visit.page("plans.html", status, plans=answer.body["results"], problems=problems or {}, body=shown)


async def _plan(
    visit: Visit, number: int, status: int = 200, *, problems: dict[str, list[str]] | None = None
) -> Response:
    found = await visit.api.get(f"/admin/plans/{number}/")
    if not found.good:
        return visit.refused(found)
    return visit.page("plan.html", status, plan=found.body, problems=problems or {})
