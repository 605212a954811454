"""`/operating-systems/`: families with their versions; a version's integer id is what `os_id` names."""

from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from typing_extensions import TypedDict

from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.compute.systems import queries
from openvps.core.paging import Listing, Page, listing, page

router = APIRouter(tags=["operating-systems"], route_class=Route)


class Version(TypedDict):
    """An operating system's version; `id` is what `os_id` names, and `available` says whether an image is there."""

    id: Annotated[int, Field(description="The version's id: what `os_id` names.", examples=[5])]
    uuid: Annotated[
        str,
        Field(
            description="The version's UUID: what `os_version` may name.",
            examples=["6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64"],
        ),
    ]
    name: Annotated[str, Field(description="Its name.", examples=["Ubuntu 22.04 LTS"])]
    slug: Annotated[str, Field(description="Its name in commands.", examples=["ubuntu-22.04"])]
    available: Annotated[bool, Field(description="Whether an image is there to make servers from.", examples=[True])]


class Family(TypedDict):
    """An operating system, with its versions."""

    uuid: Annotated[
        str, Field(description="The operating system's UUID.", examples=["0d3c9b52-7a1e-4f68-8b94-c5e2a7d01f36"])
    ]
    name: Annotated[str, Field(description="The operating system's name.", examples=["Ubuntu"])]
    versions: Annotated[list[Version], Field(description="Its versions.")]


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
