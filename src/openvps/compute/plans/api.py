"""`/plans/`: what can be had, where, at what price."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from typing_extensions import TypedDict

from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.compute.plans import queries
from openvps.core.db import Record
from openvps.core.errors import NotFound
from openvps.core.money import HOURS_A_MONTH, MICRO, major
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.requests import Reference

router = APIRouter(tags=["plans"], route_class=Route)


class Plan(TypedDict):
    """A plan in both dialects; memory in MiB, storage and bandwidth in GB; `locations` have room for it now."""

    id: int
    uuid: str
    name: str
    slug: str
    kind: str
    vcpus: int
    cpu: int
    memory: int
    ram: int
    ram_unit: str
    storage: int
    disk_space: int
    bandwidth: int
    transfer: int
    price_monthly: float
    price_hourly: float
    monthly_price: str
    hourly_price: str
    available: bool
    locations: list[str]
    description: str


def shown(row: Record) -> Plan:
    """Return a plan in both dialects: ours in numbers, the client's in strings."""
    monthly, hourly = major(row.price_monthly_micro), round(row.price_monthly_micro / MICRO / HOURS_A_MONTH, 3)
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "name": row.name,
        "slug": row.slug,
        "kind": row.kind,
        "vcpus": row.vcpus,
        "cpu": row.vcpus,
        "memory": row.memory_mib,
        "ram": row.memory_mib,
        "ram_unit": "MB",
        "storage": row.storage_gb,
        "disk_space": row.storage_gb,
        "bandwidth": row.bandwidth_gb,
        "transfer": row.bandwidth_gb,
        "price_monthly": monthly,
        "price_hourly": hourly,
        "monthly_price": f"{monthly:.2f}",
        "hourly_price": f"{hourly:.3f}",
        "available": bool(row.locations),
        "locations": row.locations,
        "description": row.description,
    }


@router.get("/plans/")
async def list_plans(
    request: Request,
    _caller: Annotated[Caller, guard("servers:read")],
    conn: Conn,
    at: Annotated[Page, Depends(page)],
) -> Listing[Plan]:
    """List the plans; `?location=` keeps those that can be had there now."""
    rows = await queries.plans(conn)
    code = request.query_params.get("location")
    rows = [row for row in rows if code is None or code in row.locations]
    return listing(request, at, len(rows), [shown(row) for row in rows[at.offset : at.offset + at.size]])


@router.get("/plans/{reference_id}/")
async def get_plan(reference_id: Reference, _caller: Annotated[Caller, guard("servers:read")], conn: Conn) -> Plan:
    """Show one plan."""
    row = await queries.plan_shown(conn, reference_id)
    if row is None:
        raise NotFound
    return shown(row)
