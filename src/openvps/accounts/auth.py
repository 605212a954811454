"""The one guard: every route names the permission it needs, or says that it is public or the operator's."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from openvps.accounts import queries, tokens
from openvps.core.clock import now
from openvps.core.db import Connection
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


async def authenticate(request: Request, conn: Connection) -> Caller:
    """Return who the request's token belongs to. Raises Unauthenticated."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise Unauthenticated("Send your API token in the header: Authorization: Bearer <token>.")
    text = text.strip()
    if not tokens.well_formed(text):
        raise Unauthenticated("This is not a token of ours, or a character of it is missing or mistyped.")
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


@dataclass(frozen=True)
class Guard:
    """Who may use a route: a token with `permission` (None: any live one), of an operator's account if `operator`.

    Checked by the route itself, before its handler; as a dependency it hands the handler the caller.
    """

    permission: str | None
    operator: bool = False

    def check(self, caller: Caller) -> None:
        """Let the caller pass. Raises Forbidden."""
        if self.operator and not caller.is_operator:
            raise Forbidden("Only the operator's account may do this.")
        if self.permission and not tokens.allows(caller.permissions, self.permission):
            raise Forbidden(f"This token lacks the permission {self.permission}.")

    async def __call__(self, request: Request) -> Caller:
        """Return the caller, whom the route has let in."""
        return request.state.caller


def guard(permission: str | None, *, operator: bool = False) -> Any:
    """Return the dependency of a route that needs `permission`; None lets any live token in."""
    return Depends(Guard(permission, operator=operator))


Anyone = Annotated[Caller, guard(None)]
