"""The one guard: every route names the permission it needs, or says that it is public."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from openvps.accounts import queries, tokens
from openvps.core.clock import now
from openvps.core.db import Database
from openvps.core.errors import Forbidden, Unauthenticated


@dataclass(frozen=True)
class Caller:
    """Who is asking: a live token of a live account."""

    account_id: int
    token_id: int
    token_name: str
    permissions: list[str]
    is_operator: bool
    client_address: str | None


def database(request: Request) -> Database:
    """Return the process's database."""
    return request.app.state.database


Db = Annotated[Database, Depends(database)]


async def authenticate(request: Request, db: Db) -> Caller:
    """Return who the request's token belongs to. Raises Unauthenticated."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise Unauthenticated("Send your API token in the header: Authorization: Bearer <token>.")
    text = text.strip()
    if not tokens.well_formed(text):
        raise Unauthenticated("This is not a token of ours, or a character of it is missing or mistyped.")
    async with db.begin() as conn:
        found = await queries.live_token(conn, tokens.digest(text), now())
        if found is None:
            raise Unauthenticated("This token is unknown, expired or revoked.")
        if found.use_is_old:
            await queries.note_token_use(conn, found.id)
    return Caller(
        account_id=found.account_id,
        token_id=found.id,
        token_name=found.name,
        permissions=found.permissions,
        is_operator=found.is_operator,
        client_address=request.client.host if request.client else None,
    )


class _Guard:
    """A dependency that lets a caller with the permission through."""

    def __init__(self, permission: str | None) -> None:
        self.permission = permission

    async def __call__(self, request: Request, db: Db) -> Caller:
        caller = await authenticate(request, db)
        if self.permission and not tokens.allows(caller.permissions, self.permission):
            raise Forbidden(f"This token lacks the permission {self.permission}.")
        return caller


def guard(permission: str | None) -> Any:
    """Return the dependency for `permission`; None lets any live token in."""
    return Depends(_Guard(permission))
