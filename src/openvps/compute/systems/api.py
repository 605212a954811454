"""`/operating-systems/`: families with their versions; a version's integer id is what `os_id` names."""

from itertools import groupby
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from openvps.accounts.auth import Caller, Db, guard
from openvps.compute.systems import queries
from openvps.core.paging import Page, listing, page

router = APIRouter(tags=["operating-systems"])


@router.get("/operating-systems/")
async def list_operating_systems(
    request: Request, _caller: Annotated[Caller, guard("servers:read")], db: Db, at: Annotated[Page, Depends(page)]
) -> dict[str, Any]:
    """List the operating systems."""
    async with db.begin() as conn:
        rows = await queries.systems(conn)
    families: list[dict[str, Any]] = [
        {
            "uuid": str(family_uuid),
            "name": family,
            "versions": [
                {"id": one.id, "uuid": str(one.uuid), "name": one.name, "slug": one.slug, "available": one.available}
                for one in versions
            ],
        }
        for (family, family_uuid), versions in groupby(rows, lambda row: (row.family, row.family_uuid))
    ]
    return listing(request, at, len(families), families[at.offset : at.offset + at.size])
