"""`/webhooks/`: where events are sent, tried, and what became of them."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from openvps.accounts import audit
from openvps.accounts.auth import Caller, guard
from openvps.accounts.queries import lock_account
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.actions.events.shape import KINDS
from openvps.actions.webhooks import queries, signing
from openvps.actions.webhooks.deliver import wake
from openvps.actions.webhooks.shape import (
    ChangedWebhook,
    Delivery,
    MadeWebhook,
    NewSecret,
    NewWebhook,
    Webhook,
    delivery,
    shown,
)
from openvps.core import jobs, outward
from openvps.core.clock import iso, now
from openvps.core.errors import BadRequest, InvalidFields, NotFound
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.query import Parameter, asks
from openvps.core.requests import Body, Reference, accepts, body_of

router = APIRouter(tags=["webhooks"], route_class=Route)

Reader = Annotated[Caller, guard("webhooks:read")]
Writer = Annotated[Caller, guard("webhooks:write")]
At = Annotated[Page, Depends(page)]

MOST = 10  # of an account
TRIED_FOR = timedelta(hours=24)
STATUSES = ("pending", "delivered", "failed")
STATUS = Parameter("status", "Only deliveries with this status.", {"type": "string", "enum": list(STATUSES)})
DISABLED: dict[int | str, dict[str, Any]] = {400: {"description": "Bad request - the webhook is disabled"}}


@router.get("/webhooks/")
async def list_webhooks(request: Request, caller: Reader, conn: Conn, at: At) -> Listing[Webhook]:
    """List your webhooks, newest first."""
    count = await queries.count(conn, caller.account_id)
    rows = await queries.page(conn, caller.account_id, offset=at.offset, limit=at.size)
    return listing(request, at, count, [shown(row) for row in rows])


@router.post("/webhooks/", status_code=201, openapi_extra=accepts(NewWebhook))
async def create_webhook(
    caller: Writer, conn: Conn, body: Annotated[Body[NewWebhook], Depends(body_of(NewWebhook))]
) -> MadeWebhook:
    """Have events sent to an address as they happen, signed. The secret that verifies them is shown once."""
    _check(body)
    fields = body.check()
    await lock_account(conn, caller.account_id)
    if await queries.count(conn, caller.account_id) >= MOST:
        raise BadRequest(f"An account may have {MOST} webhooks. Delete one that isn't needed any more.")
    key = signing.new_key()
    row = await queries.add(
        conn,
        account_id=caller.account_id,
        url=fields.url,
        kinds=fields.kinds,
        description=fields.description,
        secret=key,
    )
    await audit.record(conn, caller, "create_webhook", f"webhook {row.id}", url=fields.url)
    return {**shown(row), "secret": signing.written(key)}


@router.get("/webhooks/{reference_id}/")
async def get_webhook(reference_id: Reference, caller: Reader, conn: Conn) -> Webhook:
    """Show one webhook: whether it works, and whether it is enabled."""
    row = await queries.one(conn, caller.account_id, reference_id)
    if row is None:
        raise NotFound
    return shown(row)


@router.patch("/webhooks/{reference_id}/", openapi_extra=accepts(ChangedWebhook))
async def patch_webhook(
    reference_id: Reference,
    caller: Writer,
    conn: Conn,
    body: Annotated[Body[ChangedWebhook], Depends(body_of(ChangedWebhook))],
) -> Webhook:
    """Change where events are sent, and which; disable or enable it. What isn't given stays."""
    _check(body)
    fields = body.check()
    values: dict[str, Any] = {name: getattr(fields, name) for name in body.given - {"enabled"}}
    if "enabled" in body.given:
        values |= {"disabled_at": None if fields.enabled else now(), "disabled_reason": "", "failing_since": None}
    row = await queries.change(conn, caller.account_id, reference_id, values)
    if row is None:
        raise NotFound
    await audit.record(conn, caller, "patch_webhook", f"webhook {row.id}", url=row.url)
    return shown(row)


@router.delete("/webhooks/{reference_id}/", status_code=204)
async def delete_webhook(reference_id: Reference, caller: Writer, conn: Conn) -> Response:
    """Delete a webhook, with what is still on its way to it."""
    found = await queries.remove(conn, caller.account_id, reference_id)
    if found is None:
        raise NotFound
    await audit.record(conn, caller, "delete_webhook", f"webhook {found}")
    return Response(status_code=204)


@router.post("/webhooks/{reference_id}/rotate-secret/", openapi_extra=accepts(NewSecret))
async def rotate_webhook_secret(
    reference_id: Reference,
    caller: Writer,
    conn: Conn,
    body: Annotated[Body[NewSecret], Depends(body_of(NewSecret))],
) -> MadeWebhook:
    """Make a new secret, shown once. For some hours deliveries have two signatures, so that none is missed."""
    fields = body.check()
    key = signing.new_key()
    until = now() + timedelta(hours=fields.overlap_hours)
    row = await queries.rotate(conn, caller.account_id, reference_id, key, until)
    if row is None:
        raise NotFound
    hours = str(fields.overlap_hours)
    await audit.record(conn, caller, "rotate_webhook_secret", f"webhook {row.id}", overlap_hours=hours)
    return {**shown(row), "secret": signing.written(key)}


@router.post("/webhooks/{reference_id}/probe/", status_code=202, responses=DISABLED)
async def probe_webhook(reference_id: Reference, caller: Writer, conn: Conn) -> Delivery:
    """Send a delivery that tells of nothing, to see whether the receiver takes it."""
    row = await queries.one(conn, caller.account_id, reference_id)
    if row is None:
        raise NotFound
    if row.disabled_at is not None:
        raise BadRequest("This webhook is disabled. Enable it first.")
    at = now()
    told = {"type": queries.PROBE, "timestamp": iso(at), "data": {"webhook": {"id": row.id, "uuid": str(row.uuid)}}}
    made = await queries.probe(conn, row.id, told, at + TRIED_FOR)
    await audit.record(conn, caller, "probe_webhook", f"webhook {row.id}")
    await wake(conn, row.id, priority=jobs.CUSTOMER)
    return delivery(made)


@router.get("/webhooks/{reference_id}/deliveries/", openapi_extra=asks(STATUS))
async def list_webhook_deliveries(
    request: Request, reference_id: Reference, caller: Reader, conn: Conn, at: At
) -> Listing[Delivery]:
    """List what was sent to a webhook, or is to be, newest first; kept as long as events."""
    row = await queries.one(conn, caller.account_id, reference_id)
    if row is None:
        raise NotFound
    status = request.query_params.get("status")
    if status is not None and status not in STATUSES:
        raise InvalidFields({"status": [f"One of {', '.join(STATUSES)}."]})
    count, rows = await queries.deliveries(conn, row.id, status, offset=at.offset, limit=at.size)
    return listing(request, at, count, [delivery(one) for one in rows])


@router.post("/webhook-deliveries/{reference_id}/resend/", status_code=202, responses=DISABLED)
async def resend_webhook_delivery(reference_id: Reference, caller: Writer, conn: Conn) -> Delivery:
    """Send a delivery again, with the same message id, whatever became of it before."""
    at = now()
    row = await queries.resend(conn, caller.account_id, reference_id, at, at + TRIED_FOR)
    if row is None:
        if await queries.has_delivery(conn, caller.account_id, reference_id):
            raise BadRequest("This delivery's webhook is disabled. Enable it first.")
        raise NotFound
    await audit.record(conn, caller, "resend_webhook_delivery", f"webhook delivery {row.id}")
    await wake(conn, row.webhook_id, priority=jobs.CUSTOMER)
    return delivery(row)


def _check(body: Body[NewWebhook] | Body[ChangedWebhook]) -> None:
    """Note what the form of the fields doesn't tell."""
    if body.good("url") and "url" in body.given and (text := outward.problem(body.fields.url)):
        body.wrong("url", text)
    if body.good("kinds") and (unknown := set(body.fields.kinds) - set(KINDS)):
        body.wrong("kinds", f"There is no kind {min(unknown)!r}. Known: {', '.join(KINDS)}.")
