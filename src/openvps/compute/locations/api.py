"""`/locations/`: where servers can be."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from typing_extensions import TypedDict

from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.compute.locations import queries
from openvps.core.db import Record
from openvps.core.errors import NotFound
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.requests import Reference

router = APIRouter(tags=["locations"], route_class=Route)


class Location(TypedDict):
    """A place where servers can be; `code` is what `location` names everywhere else."""

    id: Annotated[int, Field(description="The location's id.", examples=[1])]
    uuid: Annotated[str, Field(description="The location's UUID.", examples=["6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64"])]
    code: Annotated[str, Field(description="Its code: what `location` names.", examples=["us-west"])]
    name: Annotated[str, Field(description="Its name.", examples=["US West"])]
    country_name: Annotated[str, Field(description="Its country.", examples=["United States"])]
    country_code: Annotated[str, Field(description="Its country's code, ISO 3166-1.", examples=["US"])]
    is_active: Annotated[bool, Field(description="Whether new servers can be made there.", examples=[True])]


def shown(row: Record) -> Location:
    """Return a location as the API shows it."""
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "code": row.code,
        "name": row.name,
        "country_name": row.country_name,
        "country_code": row.country_code,
        "is_active": row.is_active,
    }


@router.get("/locations/")
async def list_locations(
    request: Request,
    _caller: Annotated[Caller, guard("servers:read")],
    conn: Conn,
    at: Annotated[Page, Depends(page)],
) -> Listing[Location]:
    """List the locations."""
    rows = await queries.locations(conn)
    return listing(request, at, len(rows), [shown(row) for row in rows[at.offset : at.offset + at.size]])


@router.get("/locations/{reference_id}/")
async def get_location(
    reference_id: Reference, _caller: Annotated[Caller, guard("servers:read")], conn: Conn
) -> Location:
    """Show one location."""
    row = await queries.location_shown(conn, reference_id)
    if row is None:
        raise NotFound
    return shown(row)
