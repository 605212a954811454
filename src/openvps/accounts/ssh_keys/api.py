"""`/ssh-keys/`: list, add, get, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from openvps.accounts import audit
from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.ssh_keys import queries
from openvps.accounts.ssh_keys.public_key import parse
from openvps.accounts.transaction import Conn
from openvps.core.clock import iso
from openvps.core.db import Record
from openvps.core.errors import InvalidFields, NotFound
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.requests import Body, Reference, accepts, body_of

router = APIRouter(tags=["ssh-keys"], route_class=Route)


class NewKey(BaseModel):
    """What `POST /ssh-keys/` takes."""

    name: Annotated[
        str,
        Field(
            strict=True,
            min_length=1,
            max_length=100,
            pattern=r"^[^\x00-\x1f\x7f]+$",
            description="A name to know it by later.",
            examples=["laptop"],
        ),
    ]
    public_key: Annotated[
        str,
        Field(
            strict=True,
            min_length=1,
            max_length=8192,
            description="The public key: one line, as in `~/.ssh/id_ed25519.pub`.",
            examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMatT9Rp/wNJRC3ecpI/tQQldfToXaWjyu3pG8gEQNvk ada@laptop"],
        ),
    ]


class Key(TypedDict):
    """An SSH key of the account; the fingerprint is as OpenSSH writes it."""

    id: Annotated[int, Field(description="The key's id: what `ssh_key_id` names.", examples=[1])]
    uuid: Annotated[str, Field(description="The key's UUID.", examples=["6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64"])]
    name: Annotated[str, Field(description="Its name.", examples=["laptop"])]
    fingerprint: Annotated[
        str,
        Field(
            description="Its fingerprint, as OpenSSH writes it.",
            examples=["SHA256:Yj0+OQ0QJm1Rwq5Rt8ZBg1aEcr4wIq6rXn0TVUCEf0o"],
        ),
    ]
    public_key: Annotated[
        str,
        Field(
            description="The public key.",
            examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMatT9Rp/wNJRC3ecpI/tQQldfToXaWjyu3pG8gEQNvk"],
        ),
    ]
    created_at: Annotated[str, Field(description="When it was made, UTC.", examples=["2026-11-23T14:30:00Z"])]
    last_used_at: Annotated[
        str | None, Field(description="When a server was last made with it, UTC; null: never.", examples=[None])
    ]


def shown(row: Record) -> Key:
    """Return a key as the API shows it."""
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "name": row.name,
        "fingerprint": row.fingerprint,
        "public_key": row.public_key,
        "created_at": iso(row.created_at),
        "last_used_at": iso(row.last_used_at) if row.last_used_at else None,
    }


@router.get("/ssh-keys/")
async def list_ssh_keys(
    request: Request,
    caller: Annotated[Caller, guard("ssh_keys:read")],
    conn: Conn,
    at: Annotated[Page, Depends(page)],
) -> Listing[Key]:
    """List the account's SSH keys."""
    count, rows = await queries.keys(conn, caller.account_id, offset=at.offset, limit=at.size)
    return listing(request, at, count, [shown(row) for row in rows])


@router.post("/ssh-keys/", status_code=201, openapi_extra=accepts(NewKey))
async def create_ssh_key(
    caller: Annotated[Caller, guard("ssh_keys:write")],
    conn: Conn,
    body: Annotated[Body[NewKey], Depends(body_of(NewKey))],
) -> Key:
    """Add an SSH key; new servers get it."""
    key = None
    if body.good("public_key"):
        try:
            key = parse(body.fields.public_key)
        except ValueError as error:
            body.wrong("public_key", str(error))
    fields = body.check()
    if key is None:
        raise InvalidFields(body.errors)
    row = await queries.add(
        conn,
        account_id=caller.account_id,
        name=fields.name,
        public_key=key.line,
        fingerprint=key.fingerprint,
    )
    if row is None:
        raise InvalidFields({"public_key": ["The account has this key already."]})
    await audit.record(conn, caller, "create_ssh_key", f"ssh_key {row.id}")
    return shown(row)


@router.get("/ssh-keys/{reference_id}/")
async def get_ssh_key(reference_id: Reference, caller: Annotated[Caller, guard("ssh_keys:read")], conn: Conn) -> Key:
    """Show one SSH key."""
    row = await queries.key(conn, caller.account_id, reference_id)
    if row is None:
        raise NotFound
    return shown(row)


@router.delete("/ssh-keys/{reference_id}/", status_code=204)
async def delete_ssh_key(
    reference_id: Reference, caller: Annotated[Caller, guard("ssh_keys:write")], conn: Conn
) -> Response:
    """Delete an SSH key; servers that have it keep it."""
    found = await queries.remove(conn, caller.account_id, reference_id)
    if found is None:
        raise NotFound
    await audit.record(conn, caller, "delete_ssh_key", f"ssh_key {found}")
    return Response(status_code=204)
