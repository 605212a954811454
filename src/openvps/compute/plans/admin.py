"""`/admin/plans/`: what is sold at which price, for operators. Servers keep the price that they were made with."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from openvps.accounts import audit
from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.compute.plans import queries
from openvps.compute.plans.fields import NewPlan, PlanChange, columns
from openvps.compute.plans.price import change
from openvps.compute.plans.shape import ChangedPlan, SoldPlan, shown
from openvps.core.db import Connection, Record
from openvps.core.errors import InvalidFields, NotFound
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.requests import Body, Reference, accepts, body_of

router = APIRouter(prefix="/admin/plans", tags=["operations"], route_class=Route)

Reader = Annotated[Caller, guard("operations:read", operator=True)]
Writer = Annotated[Caller, guard("operations:write", operator=True)]


@router.get("/")
async def list_sold_plans(
    request: Request, _caller: Reader, conn: Conn, at: Annotated[Page, Depends(page)]
) -> Listing[SoldPlan]:
    """List all plans, also those that aren't sold any more. For operators."""
    rows = await queries.sold(conn)
    return listing(request, at, len(rows), [shown(row) for row in rows[at.offset : at.offset + at.size]])


@router.post("/", status_code=201, openapi_extra=accepts(NewPlan))
async def create_plan(
    caller: Writer, conn: Conn, body: Annotated[Body[NewPlan], Depends(body_of(NewPlan))]
) -> SoldPlan:
    """Offer a new plan. For operators."""
    row = await queries.add(conn, columns(body.check().model_dump()))
    if row is None:
        raise InvalidFields({"slug": ["There is a plan with this name already."]})
    await audit.record(conn, caller, "create_plan", f"plan {row.id}")
    return shown(row)


@router.get("/{reference_id}/")
async def get_sold_plan(reference_id: Reference, _caller: Reader, conn: Conn) -> SoldPlan:
    """Show one plan, also one that isn't sold any more, with how many servers have it. For operators."""
    return shown(await _found(conn, reference_id))


@router.patch("/{reference_id}/", openapi_extra=accepts(PlanChange))
async def change_plan(
    reference_id: Reference,
    caller: Writer,
    conn: Conn,
    body: Annotated[Body[PlanChange], Depends(body_of(PlanChange))],
) -> ChangedPlan:
    """Change a plan's name, price or description, for new servers; if so asked, the price of all. For operators.

    Sizes stay: servers were promised them.
    """
    fields = body.check().model_dump()
    row, changed, details = await change(conn, await _found(conn, reference_id), fields)
    await audit.record(conn, caller, "change_plan", f"plan {row.id}", **details)
    return {**shown(row), "servers_changed": changed}


@router.post("/{reference_id}/retire/")
async def retire_plan(reference_id: Reference, caller: Writer, conn: Conn) -> SoldPlan:
    """Take a plan out of the offer. Servers that have it keep it and its price. For operators."""
    row = await queries.retire(conn, (await _found(conn, reference_id)).id)
    await audit.record(conn, caller, "retire_plan", f"plan {row.id}")
    return shown(row)


async def _found(conn: Connection, reference: Any) -> Record:
    """Return a plan. Raises NotFound."""
    row = await queries.one_sold(conn, reference)
    if row is None:
        raise NotFound
    return row
