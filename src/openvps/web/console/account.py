"""What an account has besides servers: keys, tokens, webhooks, money, and the log of what was done."""

from datetime import timedelta

from fastapi import APIRouter, Request, Response

from openvps.accounts.permissions import known
from openvps.core.clock import iso, now
from openvps.core.errors import NotFound
from openvps.web.console.forms import ONCE
from openvps.web.console.page import Page, Visit, visit_of

router = APIRouter(include_in_schema=False, route_class=Page)

ENDS = {"30": timedelta(days=30), "90": timedelta(days=90), "365": timedelta(days=365), "": None}


@router.get("/keys/")
async def keys_page(request: Request) -> Response:
    """The account's SSH keys."""
    return await _keys(visit_of(request))


@router.post("/keys/")
async def change_keys(request: Request) -> Response:
    """Add a key, or delete one."""
    visit = visit_of(request)
    form = visit.sent()
    if form.text("verb") == "delete":
        answer = await visit.api("DELETE", f"/ssh-keys/{form.number('id')}/")
        return visit.to("/keys/", "key_deleted") if answer.good else visit.refused(answer)
    body = {"name": form.text("name"), "public_key": form.text("public_key")}
    answer = await visit.api.post("/ssh-keys/", body)
    if answer.good:
        return visit.to("/keys/", "key_added")
    return await _keys(visit, answer.status, problems=answer.problems, body=body)


async def _keys(
    visit: Visit,
    status: int = 200,
    *,
    problems: dict[str, list[str]] | None = None,
    body: dict[str, str] | None = None,
) -> Response:
    answer = await visit.api.get("/ssh-keys/", page_size=100)
    if not answer.good:
        return visit.refused(answer)
    shown = body or {"name": "", "public_key": ""}
    return visit.page("keys.html", status, keys=answer.body["results"], problems=problems or {}, body=shown)


@router.get("/tokens/")
async def tokens_page(request: Request) -> Response:
    """The account's API tokens."""
    return await _tokens(visit_of(request))


@router.post("/tokens/")
async def change_tokens(request: Request) -> Response:
    """Make a token and show it this once, or revoke one."""
    visit = visit_of(request)
    form = visit.sent()
    if form.text("verb") == "revoke":
        answer = await visit.api("DELETE", f"/tokens/{form.number('id')}/")
        return visit.to("/tokens/", "token_revoked") if answer.good else visit.refused(answer)
    lives = form.text("lives")
    if lives not in ENDS:
        raise NotFound
    ends = ENDS[lives]
    body = {
        "name": form.text("name"),
        "permissions": form.texts("permissions"),
        "expires_at": iso(now() + ends) if ends else None,
    }
    answer = await visit.api.post("/tokens/", body)
    if answer.good:
        return await _tokens(visit, made=answer.body["token"])
    return await _tokens(visit, answer.status, problems=answer.problems, name=form.text("name"))


async def _tokens(
    visit: Visit, status: int = 200, *, problems: dict[str, list[str]] | None = None, made: str = "", name: str = ""
) -> Response:
    answer = await visit.api.get("/tokens/", page_size=100)
    if not answer.good:
        return visit.refused(answer)
    return visit.page(
        "tokens.html",
        status,
        tokens=[one for one in answer.body["results"] if not one["revoked"]],
        permissions=known(operator=bool(visit.who and visit.who.is_operator)),
        problems=problems or {},
        made=made,
        name=name,
    )


@router.get("/webhooks/")
async def webhooks_page(request: Request) -> Response:
    """Where the account's events are sent, and how that went."""
    return await _webhooks(visit_of(request))


@router.post("/webhooks/")
async def change_webhooks(request: Request) -> Response:
    """Add a webhook and show its secret this once; try, switch on or off, or delete one."""
    visit = visit_of(request)
    form = visit.sent()
    verb, one = form.text("verb"), f"/webhooks/{form.number('id')}/"
    if verb == "add":
        body = {"url": form.text("url"), "description": form.text("description")}
        answer = await visit.api.post("/webhooks/", body, once=form.text(ONCE) or None)
        made = (answer.body["secret"] or "") if answer.good else ""
        return await _webhooks(visit, 200 if answer.good else answer.status, problems=answer.problems, made=made)
    if verb == "rotate":
        answer = await visit.api.post(f"{one}rotate-secret/", {"overlap_hours": form.number("overlap_hours")})
        if answer.good:
            return await _webhooks(visit, made=answer.body["secret"])
        return await _webhooks(visit, answer.status, problems=answer.problems)
    if verb == "delete":
        answer = await visit.api("DELETE", one)
    elif verb == "probe":
        answer = await visit.api.post(f"{one}probe/")
    elif verb in {"enable", "disable"}:
        answer = await visit.api("PATCH", one, body={"enabled": verb == "enable"})
    else:
        raise NotFound
    return visit.to("/webhooks/", "saved") if answer.good else visit.refused(answer)


async def _webhooks(
    visit: Visit, status: int = 200, *, problems: dict[str, list[str]] | None = None, made: str = ""
) -> Response:
    answer = await visit.api.get("/webhooks/", page_size=100)
    if not answer.good:
        return visit.refused(answer)
    hooks = [
        {**one, "latest": await visit.api.results(f"/webhooks/{one['id']}/deliveries/", page_size=3)}
        for one in answer.body["results"]
    ]
    return visit.page("webhooks.html", status, hooks=hooks, problems=problems or {}, made=made)


@router.get("/billing/")
async def billing(request: Request) -> Response:
    """The balance, this month by server, invoices, the ledger, and what the account was told."""
    visit = visit_of(request)
    me, usage = await visit.api.get("/account/me/"), await visit.api.get("/account/usage/")
    if not usage.good:
        return visit.refused(usage)
    return visit.page(
        "billing.html",
        account=me.body["account"],
        usage=usage.body,
        invoices=await visit.api.results("/account/invoices/"),
        entries=await visit.api.results("/account/ledger/", page_size=50),
        notices=await visit.api.results("/account/notices/", page_size=10),
    )


@router.get("/billing/{month}/")
async def invoice(request: Request, month: str) -> Response:
    """A month's invoice, as the API's page to print; or as its table."""
    visit = visit_of(request)
    wanted = "csv" if request.query_params.get("format") == "csv" else "html"
    if not (month.isascii() and month.replace("-", "").isdecimal()):
        raise NotFound
    answer = await visit.api.get(f"/account/invoices/{month}/", format=wanted)
    if not answer.good:
        return visit.refused(answer)
    kept = ("content-type", "content-disposition", "content-security-policy")
    return Response(answer.raw, headers={name: answer.headers[name] for name in kept if name in answer.headers})


@router.get("/activity/")
async def activity(request: Request) -> Response:
    """What was done with the account: every change and sign-in, by whom and from where."""
    visit = visit_of(request)
    number = request.query_params.get("page", "1")
    answer = await visit.api.get("/account/audit/", page_size=50, page=number)
    if not answer.good:
        return visit.refused(answer)
    return visit.page("activity.html", entries=answer.body["results"], log=answer.body, number=number, all=False)
