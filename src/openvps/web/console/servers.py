"""The list of servers, and the page that makes one."""

import json
import shlex
from typing import Any

from fastapi import APIRouter, Request, Response

from openvps.web.console.forms import ONCE, Form
from openvps.web.console.page import Page, Visit, visit_of
from openvps.web.console.part import part

router = APIRouter(prefix="/servers", include_in_schema=False, route_class=Page)

FILTERS = ("name", "status", "location", "tag", "page")


@router.get("/")
async def list_servers(request: Request) -> Response:
    """The account's servers; asked by its own script, only the list, and only if it has changed."""
    visit = visit_of(request)
    asked = {name: value for name in FILTERS if (value := request.query_params.get(name))}
    answer = await visit.api.get("/servers/", page_size=100, **asked)
    if not answer.good:
        return visit.refused(answer)
    shown = {"servers": answer.body["results"], "count": answer.body["count"], "asked": asked}
    shown["pages"] = max(1, -(-answer.body["count"] // 100))
    return await part(visit, "servers_list.html", "servers.html", shown)


@router.get("/new/")
async def new_server_page(request: Request) -> Response:
    """What a new server may be, at what price, and where there is room."""
    visit = visit_of(request)
    return await _form(visit, _first(await _offer(visit)), {})


@router.post("/new/")
async def new_server(request: Request) -> Response:
    """Make a server; or, by the other button, say what would happen."""
    visit = visit_of(request)
    form = visit.sent()
    body = _body(form)
    if form.text("preview"):
        return await _form(visit, body, {}, preview=await _preview(visit, body))
    answer = await visit.api.post("/servers/", body, once=form.text(ONCE) or None)
    if answer.good:
        return visit.to(f"/servers/{answer.body['id']}/", "created")
    return await _form(visit, body, answer.problems, status=answer.status)


@router.post("/new/preview/")
async def preview_server(request: Request) -> Response:
    """What a form as it stands would cost, be refused for, and be as a request or command."""
    visit = visit_of(request)
    body = _body(visit.sent())
    return visit.page("new_preview.html", preview=await _preview(visit, body))


async def _offer(visit: Visit) -> dict[str, Any]:
    families = await visit.api.results("/operating-systems/")
    return {
        "plans": await visit.api.results("/plans/"),
        "systems": [version for family in families for version in family["versions"]],
        "locations": [one for one in await visit.api.results("/locations/") if one["is_active"]],
        "keys": await visit.api.results("/ssh-keys/"),
    }


def _first(offer: dict[str, Any]) -> dict[str, Any]:
    """Return what is chosen before somebody chooses: the first of each that can be had."""
    plan = next((one for one in offer["plans"] if one["available"]), None)
    system = next((one for one in offer["systems"] if one["available"]), None)
    place = next((one for one in offer["locations"] if plan is None or one["code"] in plan["locations"]), None)
    return {
        "name": "",
        "plan_id": plan and plan["id"],
        "os_id": system and system["id"],
        "location": place and place["code"],
        "ssh_keys": [key["id"] for key in offer["keys"]],
    }


async def _form(
    visit: Visit, body: dict[str, Any], problems: dict[str, list[str]], *, status: int = 200, preview: Any = None
) -> Response:
    offer = await _offer(visit)
    return visit.page("new.html", status, problems=problems, body=body, preview=preview, **offer)


def _body(form: Form) -> dict[str, Any]:
    """Return the body of `POST /servers/` that a form stands for."""
    wanted: dict[str, Any] = {
        "name": form.text("name"),
        "plan_id": form.number("plan_id"),
        "os_id": form.number("os_id"),
        "location": form.text("location"),
    }
    keys = [int(one) for one in form.texts("ssh_keys") if one.isascii() and one.isdecimal()]
    extra: dict[str, Any] = {
        "ssh_keys": keys,
        "tags": form.text("tags").replace(",", " ").split(),
        "backups_enabled": bool(form.text("backups_enabled")),
        "user_data": form.raw("user_data").replace("\r\n", "\n").strip("\n"),
    }
    return wanted | {name: value for name, value in extra.items() if value}


async def _preview(visit: Visit, body: dict[str, Any]) -> dict[str, Any]:
    body = {
        **body,
        "name": body["name"] or "web-1",
    }  # the price is shown before it has a name
    answer = await visit.api.post("/servers/", body, dry_run="true")
    said: dict[str, Any] = answer.body if answer.good else {"possible": False, "price": None, "refusals": []}
    problems = answer.problems
    for refusal in said["refusals"]:
        problems |= refusal["texts"]
    root = str(visit.request.base_url).rstrip("/") + visit.request.app.state.site.base_path
    return {**said, "problems": problems, "curl": curl(root, body), "command": command(body)}


def curl(root: str, body: dict[str, Any]) -> str:
    """Return the request that makes such a server, for a shell."""
    lines = (
        f"curl -X POST {root}/servers/",
        '  -H "Authorization: Bearer $OPENVPS_TOKEN"',
        '  -H "Content-Type: application/json"',
        f"  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
    )
    return " \\\n".join(lines)


def command(body: dict[str, Any]) -> str:
    """Return the command that makes such a server."""
    words = ["openvps", "server", "create", body["name"]]
    for name, option in (("plan_id", "--plan"), ("os_id", "--system"), ("location", "--location")):
        words += [option, str(body[name])]
    for key in body.get("ssh_keys", []):
        words += ["--ssh-key", str(key)]
    for tag in body.get("tags", []):
        words += ["--tag", tag]
    if body.get("backups_enabled"):
        words.append("--backups")
    if not (given := body.get("user_data")):
        return shlex.join(words)
    piped = shlex.join([*words, "--user-data", "/dev/stdin"])
    return f"printf %s {shlex.quote(given)} | {piped}"
