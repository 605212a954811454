"""`/locations/`: where servers can be."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from openvps.accounts.auth import Caller, Db, guard
from openvps.compute.locations import queries
from openvps.core.db import Record
from openvps.core.errors import NotFound
from openvps.core.paging import Page, listing, page
from openvps.core.requests import Reference

router = APIRouter(tags=["locations"])


def shown(row: Record) -> dict[str, Any]:
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
    request: Request, _caller: Annotated[Caller, guard("servers:read")], db: Db, at: Annotated[Page, Depends(page)]
) -> dict[str, Any]:
    """List the locations."""
    async with db.begin() as conn:
        rows = await queries.locations(conn)
    return listing(request, at, len(rows), [shown(row) for row in rows[at.offset : at.offset + at.size]])


@router.get("/locations/{reference_id}/")
async def get_location(
    reference_id: Reference, _caller: Annotated[Caller, guard("servers:read")], db: Db
) -> dict[str, Any]:
    """Show one location."""
    async with db.begin() as conn:
        row = await queries.location_shown(conn, reference_id)
    if row is None:
        raise NotFound
    return shown(row)
