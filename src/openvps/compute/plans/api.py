"""`/plans/`: what can be had, where, at what price."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from typing_extensions import TypedDict

from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.compute.plans import queries
from openvps.compute.plans.fields import Kind
from openvps.core.db import Record
from openvps.core.errors import NotFound
from openvps.core.money import HOURS_A_MONTH, MICRO, major
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.query import Parameter, asks
from openvps.core.requests import Reference

router = APIRouter(tags=["plans"], route_class=Route)

LOCATION = Parameter("location", "Only those that can be had there now: a location's code.")


class Plan(TypedDict):
    """A plan in both dialects; memory in MiB, storage and bandwidth in GB; `locations` have room for it now."""

    id: Annotated[int, Field(description="The plan's id: what `plan_id` names.", examples=[1])]
    uuid: Annotated[str, Field(description="The plan's UUID.", examples=["6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64"])]
    name: Annotated[str, Field(description="Its name.", examples=["Standard VPS"])]
    slug: Annotated[str, Field(description="Its name in addresses and commands.", examples=["standard-vps"])]
    kind: Kind
    vcpus: Annotated[int, Field(description="Virtual CPUs.", examples=[2])]
    cpu: Annotated[int, Field(description="The same as `vcpus`.", examples=[2])]
    memory: Annotated[int, Field(description="Memory, in MiB.", examples=[4096])]
    ram: Annotated[int, Field(description="The same as `memory`.", examples=[4096])]
    ram_unit: Annotated[str, Field(description="The unit of `ram`.", examples=["MB"])]
    storage: Annotated[int, Field(description="Disk, in GB.", examples=[80])]
    disk_space: Annotated[int, Field(description="The same as `storage`.", examples=[80])]
    bandwidth: Annotated[int, Field(description="Traffic included, in GB a month.", examples=[2048])]
    transfer: Annotated[int, Field(description="The same as `bandwidth`.", examples=[2048])]
    price_monthly: Annotated[float, Field(description="Price of a month; no month costs more.", examples=[10.0])]
    price_hourly: Annotated[float, Field(description="Price of an hour, rounded for display.", examples=[0.015])]
    monthly_price: Annotated[str, Field(description="The same as `price_monthly`, as a text.", examples=["10.00"])]
    hourly_price: Annotated[str, Field(description="The same as `price_hourly`, as a text.", examples=["0.015"])]
    available: Annotated[bool, Field(description="Whether it can be had anywhere now.", examples=[True])]
    locations: Annotated[
        list[str], Field(description="Codes of the locations where it can be had now.", examples=[["us-west"]])
    ]
    description: Annotated[str, Field(description="What it is for.", examples=["For websites and small databases."])]


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


@router.get("/plans/", openapi_extra=asks(LOCATION))
async def list_plans(
    request: Request,
    _caller: Annotated[Caller, guard("servers:read")],
    conn: Conn,
    at: Annotated[Page, Depends(page)],
) -> Listing[Plan]:
    """List the plans."""
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
