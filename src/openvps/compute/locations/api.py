"""`/locations/`: where servers can be."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
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

    id: int
    uuid: str
    code: str
    name: str
    country_name: str
    country_code: str
    is_active: bool


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
