"""`/admin/plans/`: what is sold at which price, for operators. Servers keep the price that they were made with."""

from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from typing_extensions import TypedDict

from openvps.accounts import audit
from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.compute.plans import queries
from openvps.compute.plans.fields import Description, Name, NewPlan, PlanChange, columns
from openvps.compute.plans.price import apply
from openvps.core.clock import iso
from openvps.core.db import Connection, Record
from openvps.core.errors import InvalidFields, NotFound
from openvps.core.money import MICRO
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.requests import Body, Reference, accepts, body_of

router = APIRouter(prefix="/admin/plans", tags=["operations"], route_class=Route)

Reader = Annotated[Caller, guard("operations:read", operator=True)]
Writer = Annotated[Caller, guard("operations:write", operator=True)]


class SoldPlan(TypedDict):
    """A plan as operators see it, on offer or retired."""

    id: Annotated[int, Field(description="The plan's id: what `plan_id` names.", examples=[5])]
    uuid: Annotated[str, Field(description="The plan's UUID.", examples=["6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64"])]
    slug: Annotated[str, Field(description="Its name in addresses and commands.", examples=["large-vps"])]
    name: Name
    kind: Annotated[
        str,
        Field(
            description="`vm`, a machine of its own, or `container`, which shares the host's kernel.", examples=["vm"]
        ),
    ]
    vcpus: Annotated[int, Field(description="Virtual CPUs.", examples=[4])]
    memory_mib: Annotated[int, Field(description="Memory, in MiB.", examples=[8192])]
    storage_gb: Annotated[int, Field(description="Disk, in GB.", examples=[160])]
    bandwidth_gb: Annotated[int, Field(description="Traffic included, in GB a month.", examples=[4096])]
    price: Annotated[str, Field(description="Price of a month, in the installation's currency.", examples=["40.00"])]
    description: Description
    servers: Annotated[int, Field(description="How many servers have it.", examples=[3])]
    retired_at: Annotated[
        str | None, Field(description="Since when it isn't sold any more, UTC; null: it is.", examples=[None])
    ]


class ChangedPlan(SoldPlan):
    """A plan that was changed."""

    servers_changed: Annotated[int, Field(description="How many servers have another price now.", examples=[0])]


def shown(row: Record) -> SoldPlan:
    """Return a plan as operators see it."""
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "slug": row.slug,
        "name": row.name,
        "kind": row.kind,
        "vcpus": row.vcpus,
        "memory_mib": row.memory_mib,
        "storage_gb": row.storage_gb,
        "bandwidth_gb": row.bandwidth_gb,
        "price": _price(row.price_monthly_micro),
        "description": row.description,
        "servers": row.servers,
        "retired_at": iso(row.retired_at) if row.retired_at else None,
    }


def _price(micro: int) -> str:
    """Return a price with all its digits, and at least two after the point."""
    exact = (Decimal(micro) / MICRO).normalize()
    return f"{exact:.2f}" if exact == round(exact, 2) else f"{exact:f}"


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
    return shown(await _found(conn, row.id))


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
    fields = body.check()
    before = await _found(conn, reference_id)
    values: dict[str, Any] = columns(fields.model_dump(exclude={"apply_to_existing"}))
    if values:
        await queries.edit(conn, before.id, values)
    changed = await apply(conn, before.id) if fields.apply_to_existing else 0
    row = await _found(conn, before.id)
    prices = {"from_micro": str(before.price_monthly_micro), "to_micro": str(row.price_monthly_micro)}
    await audit.record(conn, caller, "change_plan", f"plan {row.id}", **prices, servers=str(changed))
    return {**shown(row), "servers_changed": changed}


@router.post("/{reference_id}/retire/")
async def retire_plan(reference_id: Reference, caller: Writer, conn: Conn) -> SoldPlan:
    """Take a plan out of the offer. Servers that have it keep it and its price. For operators."""
    row = await _found(conn, reference_id)
    await queries.retire(conn, row.id)
    await audit.record(conn, caller, "retire_plan", f"plan {row.id}")
    return shown(await _found(conn, row.id))


async def _found(conn: Connection, reference: Any) -> Record:
    """Return a plan. Raises NotFound."""
    row = await queries.one_sold(conn, reference)
    if row is None:
        raise NotFound
    return row
