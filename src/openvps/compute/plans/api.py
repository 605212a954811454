"""`/plans/`: what can be had, where, at what price."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from openvps.accounts.auth import Caller, Db, guard
from openvps.compute.plans import queries
from openvps.core.db import Record
from openvps.core.errors import NotFound
from openvps.core.money import HOURS_A_MONTH, MICRO, major
from openvps.core.paging import Page, listing, page
from openvps.core.requests import Reference

router = APIRouter(tags=["plans"])


def shown(row: Record) -> dict[str, Any]:
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
    request: Request, _caller: Annotated[Caller, guard("servers:read")], db: Db, at: Annotated[Page, Depends(page)]
) -> dict[str, Any]:
    """List the plans; `?location=` keeps those that can be had there now."""
    async with db.begin() as conn:
        rows = await queries.plans(conn)
    code = request.query_params.get("location")
    rows = [row for row in rows if code is None or code in row.locations]
    return listing(request, at, len(rows), [shown(row) for row in rows[at.offset : at.offset + at.size]])


@router.get("/plans/{reference_id}/")
async def get_plan(
    reference_id: Reference, _caller: Annotated[Caller, guard("servers:read")], db: Db
) -> dict[str, Any]:
    """Show one plan."""
    async with db.begin() as conn:
        row = await queries.plan_shown(conn, reference_id)
    if row is None:
        raise NotFound
    return shown(row)
