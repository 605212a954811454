"""`/operating-systems/`: families with their versions; a version's integer id is what `os_id` names."""

from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from typing_extensions import TypedDict

from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.compute.systems import queries
from openvps.core.paging import Listing, Page, listing, page

router = APIRouter(tags=["operating-systems"], route_class=Route)


class Version(TypedDict):
    """An operating system's version; `id` is what `os_id` names, and `available` says whether an image is there."""

    id: int
    uuid: str
    name: str
    slug: str
    available: bool


class Family(TypedDict):
    """An operating system, with its versions."""

    uuid: str
    name: str
    versions: list[Version]


@router.get("/operating-systems/")
async def list_operating_systems(
    request: Request,
    _caller: Annotated[Caller, guard("servers:read")],
    conn: Conn,
    at: Annotated[Page, Depends(page)],
) -> Listing[Family]:
    """List the operating systems."""
    rows = await queries.systems(conn)
    families: list[Family] = [
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
