"""One server: what it is and does, its graphs, copies, settings and terminal."""

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from openvps.compute.servers.states import SETTLED, TRANSITIONS
from openvps.core.clock import iso, now
from openvps.core.errors import NotFound
from openvps.web.console.inside import Answer
from openvps.web.console.page import HEADERS, Page, Visit, visit_of
from openvps.web.console.part import part

router = APIRouter(prefix="/servers/{number}", include_in_schema=False, route_class=Page)

REMAKING = ("resize", "rebuild", "delete")
BUTTONS = ("retry", "start", "stop", "reboot", "hard_stop")
RARE = ("retry", "hard_stop")  # shown only where they can be pressed
SPANS = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
METRICS = ("cpu", "memory", "disk", "received", "sent")


@router.get("/")
async def server(request: Request, number: int) -> Response:
    """What a server is, what it does now, and what was done to it."""
    visit = visit_of(request)
    answer = await visit.api.get(f"/servers/{number}/")
    if not answer.good:
        return visit.refused(answer)
    return await part(visit, "server_now.html", "server.html", await _now(visit, answer.body))


@router.post("/do/")
async def act(request: Request, number: int) -> Response:
    """Press a power button."""
    visit = visit_of(request)
    action = visit.sent().text("action")
    if action not in BUTTONS:
        raise NotFound
    if action == "hard_stop":
        answer = await visit.api.post(f"/servers/{number}/power/", {"action": action})
    else:
        answer = await visit.api.post(f"/servers/{number}/{action}/")
    return await _done(visit, answer, number, action)


@router.get("/metrics.json")
async def metrics(request: Request, number: int) -> Response:
    """One measure over a span, as the graphs want it."""
    visit = visit_of(request)
    query = request.query_params
    span, metric = SPANS.get(query.get("span", "1h")), query.get("metric", "cpu")
    if span is None or metric not in METRICS:
        raise NotFound
    end = now()
    answer = await visit.api.get(f"/servers/{number}/metrics/", metric=metric, start=iso(end - span), end=iso(end))
    return JSONResponse(answer.body, answer.status, {**HEADERS})


@router.get("/terminal/")
async def terminal(request: Request, number: int) -> Response:
    """Its serial console."""
    visit = visit_of(request)
    answer = await visit.api.get(f"/servers/{number}/")
    return visit.page("terminal.html", server=answer.body) if answer.good else visit.refused(answer)


@router.post("/terminal/")
async def ticket(request: Request, number: int) -> Response:
    """A ticket for its serial console, as the page's script wants it."""
    visit = visit_of(request)
    visit.sent()
    answer = await visit.api.post(f"/servers/{number}/console/")
    return JSONResponse(answer.body, answer.status, {**HEADERS})


@router.get("/copies/")
async def copies(request: Request, number: int) -> Response:
    """Its snapshots and backups."""
    visit = visit_of(request)
    answer = await visit.api.get(f"/servers/{number}/")
    if not answer.good:
        return visit.refused(answer)
    shown = {
        "server": answer.body,
        "snapshots": await visit.api.results("/snapshots/", server_id=number),
        "backups": await visit.api.results("/backups/", server_id=number),
        "free": answer.body["status"] in TRANSITIONS["restore"].allowed,
    }
    return await part(visit, "copies_now.html", "copies.html", shown)


@router.post("/copies/")
async def make_copy(request: Request, number: int) -> Response:
    """Take a snapshot or a backup, restore or delete one."""
    visit = visit_of(request)
    form = visit.sent()
    kind, verb, copy = form.text("kind"), form.text("verb"), form.number("id")
    if kind not in {"snapshot", "backup"} or verb not in {"create", "restore", "delete"}:
        raise NotFound
    if verb == "create":
        answer = await visit.api.post(f"/servers/{number}/{kind}/", {"label": form.text("label") or None})
    elif not isinstance(copy, int):
        raise NotFound
    elif verb == "restore":
        answer = await visit.api.post(f"/{kind}s/{copy}/restore/")
    else:
        answer = await visit.api("DELETE", f"/{kind}s/{copy}/")
    return visit.to(f"/servers/{number}/copies/", f"{kind}_{verb}") if answer.good else visit.refused(answer)


@router.get("/settings/")
async def settings(request: Request, number: int) -> Response:
    """Its name, size, system, password, and end."""
    return await _settings(visit_of(request), number)


@router.post("/settings/")
async def change(request: Request, number: int) -> Response:
    """Rename it and say whether it is backed up."""
    visit = visit_of(request)
    form = visit.sent()
    body = {
        "name": form.text("name"),
        "hostname": form.text("hostname"),
        "backups_enabled": bool(form.text("backups_enabled")),
        "tags": form.text("tags").replace(",", " ").split(),
    }
    return await _changed(visit, number, await visit.api("PATCH", f"/servers/{number}/", body=body), "saved")


@router.post("/resize/")
async def resize(request: Request, number: int) -> Response:
    """Give it another plan."""
    visit = visit_of(request)
    body = {"plan_id": visit.sent().number("plan_id")}
    return await _changed(visit, number, await visit.api.post(f"/servers/{number}/resize/", body), "resize")


@router.post("/rebuild/")
async def rebuild(request: Request, number: int) -> Response:
    """Install a system anew, having typed the server's name."""
    visit = visit_of(request)
    if refused := await _unsure(visit, number):
        return refused
    body = {"os_id": visit.sent().number("os_id")}
    return await _changed(visit, number, await visit.api.post(f"/servers/{number}/rebuild/", body), "rebuild")


@router.post("/reset-password/")
async def reset_password(request: Request, number: int) -> Response:
    """Give root a new password, and show it this once."""
    visit = visit_of(request)
    answer = await visit.api.post(f"/servers/{number}/reset-password/")
    if not answer.good:
        return visit.refused(answer)
    return await _settings(visit, number, password=answer.body["password"])


@router.post("/delete/")
async def delete(request: Request, number: int) -> Response:
    """Delete it, having typed its name."""
    visit = visit_of(request)
    if refused := await _unsure(visit, number):
        return refused
    answer = await visit.api("DELETE", f"/servers/{number}/")
    return visit.to("/servers/", "deleted") if answer.good else visit.refused(answer)


async def _now(visit: Visit, shown: dict[str, Any]) -> dict[str, Any]:
    status = shown["status"]
    return {
        "server": shown,
        "buttons": [
            (name, may) for name in BUTTONS if (may := status in TRANSITIONS[name].allowed) or name not in RARE
        ],
        "settled": status in SETTLED,
        "actions": await visit.api.results(f"/servers/{shown['id']}/actions/", page_size=20),
        "spans": list(SPANS),
    }


async def _done(visit: Visit, answer: Answer, number: int, done: str) -> Response:
    """Show the server again: what was begun, or why it wasn't."""
    if answer.good:
        return visit.to(f"/servers/{number}/", done)
    found = await visit.api.get(f"/servers/{number}/")
    if not found.good:
        return visit.refused(found)
    shown = await _now(visit, found.body)
    return visit.page("server.html", answer.status, problems=answer.problems, seen="", **shown)


async def _changed(visit: Visit, number: int, answer: Answer, done: str) -> Response:
    if answer.good:
        return visit.to(f"/servers/{number}/" if done != "saved" else f"/servers/{number}/settings/", done)
    return await _settings(visit, number, status=answer.status, problems=answer.problems)


async def _settings(
    visit: Visit,
    number: int,
    *,
    status: int = 200,
    problems: dict[str, list[str]] | None = None,
    password: str = "",
    unsure: bool = False,
) -> Response:
    answer = await visit.api.get(f"/servers/{number}/")
    if not answer.good:
        return visit.refused(answer)
    families = await visit.api.results("/operating-systems/")
    return visit.page(
        "settings.html",
        status,
        problems=problems or {},
        server=answer.body,
        plans=await visit.api.results("/plans/"),
        systems=[version for family in families for version in family["versions"] if version["available"]],
        allowed={
            name: answer.body["status"] in TRANSITIONS[name].allowed for name in ("resize", "rebuild", "delete")
        },
        password=password,
        unsure=unsure,
    )


async def _unsure(visit: Visit, number: int) -> Response | None:
    """Return the page again unless the server's name was typed: what follows can't be undone."""
    answer = await visit.api.get(f"/servers/{number}/")
    if not answer.good:
        return visit.refused(answer)
    if visit.sent().text("confirm") == answer.body["name"]:
        return None
    return await _settings(visit, number, status=400, unsure=True)
