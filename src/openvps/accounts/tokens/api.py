"""`/tokens/`: list, make, get, revoke."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AwareDatetime, BaseModel, Field
from typing_extensions import TypedDict

from openvps.accounts import audit
from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.tokens import queries
from openvps.accounts.tokens.issue import issue, problems, wrong_end
from openvps.accounts.transaction import Conn
from openvps.core.clock import iso, now
from openvps.core.db import Record
from openvps.core.errors import NotFound
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.requests import Body, Reference, accepts, body_of

router = APIRouter(tags=["tokens"], route_class=Route)

Reader = Annotated[Caller, guard("tokens:read")]
Writer = Annotated[Caller, guard("tokens:write")]

MAX_PERMISSIONS = 50


class NewToken(BaseModel):
    """What `POST /tokens/` takes."""

    name: Annotated[
        str,
        Field(
            strict=True,
            min_length=1,
            max_length=100,
            pattern=r"^[^\x00-\x1f\x7f]+$",
            description="A name to know it by later.",
            examples=["backup script"],
        ),
    ]
    permissions: Annotated[
        list[Annotated[str, Field(strict=True, max_length=100)]],
        Field(
            min_length=1,
            max_length=MAX_PERMISSIONS,
            description="What it may do: `resource:action`, where `*` stands for every resource or every action. "
            "At most what the token of this request may do.",
            examples=[["servers:read", "ssh_keys:*"]],
        ),
    ]
    expires_at: Annotated[
        AwareDatetime | None,
        Field(
            description="When it ends, ISO 8601 with a time zone; null or not given: never.",
            examples=["2027-06-30T00:00:00Z"],
        ),
    ] = None


class Token(TypedDict):
    """An API token, without its text, which nobody can show again."""

    id: Annotated[int, Field(description="The token's number.", examples=[7])]
    uuid: Annotated[str, Field(description="The token's UUID.", examples=["6b1ce1a5-8d5e-4b0b-a4f0-5c0f3a3d9d11"])]
    name: Annotated[str, Field(description="Its name.", examples=["backup script"])]
    permissions: Annotated[list[str], Field(description="What it may do.", examples=[["servers:read"]])]
    created_at: Annotated[str, Field(description="When it was made, UTC.", examples=["2026-11-23T22:00:00Z"])]
    expires_at: Annotated[
        str | None, Field(description="When it ends, UTC; null: never.", examples=["2027-06-30T00:00:00Z"])
    ]
    last_used_at: Annotated[
        str | None,
        Field(
            description="When it was last used, UTC, to the minute; null: never.", examples=["2026-11-23T22:05:00Z"]
        ),
    ]
    revoked: Annotated[
        bool, Field(description="Whether it was revoked: it opens nothing any more.", examples=[False])
    ]


class MadeToken(Token):
    """A new token, with its text: shown in this answer only."""

    token: Annotated[
        str,
        Field(
            description="The token's text, for the header `Authorization: Bearer <token>`. Keep it now: it is not "
            "shown again.",
            examples=["vps_<32 letters and digits><6 more>"],
        ),
    ]


def _moment(value: datetime | None) -> str | None:
    return iso(value) if value else None


def shown(row: Record) -> Token:
    """Return a token as the API shows it."""
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "name": row.name,
        "permissions": row.permissions,
        "created_at": iso(row.created_at),
        "expires_at": _moment(row.expires_at),
        "last_used_at": _moment(row.last_used_at),
        "revoked": row.revoked_at is not None,
    }


@router.get("/tokens/")
async def list_tokens(
    request: Request, caller: Reader, conn: Conn, at: Annotated[Page, Depends(page)]
) -> Listing[Token]:
    """List the account's API tokens, newest first, revoked ones included."""
    count, rows = await queries.tokens(conn, caller.account_id, offset=at.offset, limit=at.size)
    return listing(request, at, count, [shown(row) for row in rows])


@router.post("/tokens/", status_code=201, openapi_extra=accepts(NewToken))
async def create_token(
    caller: Writer, conn: Conn, body: Annotated[Body[NewToken], Depends(body_of(NewToken))]
) -> MadeToken:
    """Make an API token that may do as much as the token of this request, or less. Its text is shown once."""
    fields = body.fields
    if body.good("permissions"):
        for text in problems(fields.permissions, caller.permissions, operator=caller.is_operator):
            body.wrong("permissions", text)
    if body.good("expires_at") and fields.expires_at and (text := wrong_end(fields.expires_at, now())):
        body.wrong("expires_at", text)
    fields = body.check()
    row, text = await issue(
        conn,
        account_id=caller.account_id,
        name=fields.name,
        permissions=fields.permissions,
        expires_at=fields.expires_at,
    )
    await audit.record(conn, caller, "create_token", f"token {row.id}", permissions=" ".join(row.permissions))
    return {**shown(row), "token": text}


@router.get("/tokens/{reference_id}/")
async def get_token(reference_id: Reference, caller: Reader, conn: Conn) -> Token:
    """Show one of the account's API tokens, without its text."""
    row = await queries.one(conn, caller.account_id, reference_id)
    if row is None:
        raise NotFound
    return shown(row)


@router.delete("/tokens/{reference_id}/", status_code=204)
async def revoke_token(reference_id: Reference, caller: Writer, conn: Conn) -> Response:
    """Revoke an API token: it is refused from the next request on. A token may revoke itself."""
    found = await queries.revoke(conn, caller.account_id, reference_id)
    if found is None:
        raise NotFound
    await audit.record(conn, caller, "revoke_token", f"token {found}")
    return Response(status_code=204)
