"""The one guard: every route names the permission it needs, or says that it is public or the operator's."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any

from fastapi import Depends, Request

from openvps.accounts import permissions, queries, tokens
from openvps.accounts.throttle import Guesses, client_key
from openvps.core.clock import now
from openvps.core.db import Connection
from openvps.core.errors import Forbidden, Unauthenticated

SESSION = "openvps.session"  # in an ASGI scope, where no client writes: the digest of the console's session


@dataclass(frozen=True)
class Caller:
    """Who is asking: a live token of a live account, itself or by a session of the console."""

    account_id: int
    token_id: int
    token_name: str
    permissions: list[str]
    is_operator: bool
    client_address: str | None
    request_id: str | None = None


def client_address(request: Request) -> str | None:
    """Return the address a request came from; None where it has none (a socket) or a proxy names something else."""
    try:
        return str(ip_address(request.client.host)) if request.client else None
    except ValueError:
        return None


def request_id(request: Request) -> str | None:
    """Return the request's `X-Request-Id`."""
    return getattr(request.state, "request_id", None)


async def authenticate(request: Request, conn: Connection) -> Caller:
    """Return who the request's token belongs to. Raises Unauthenticated, TooMany.

    A good token is let in however many bad ones came from its address: 190 random bits aren't guessed, and an
    office shouldn't be locked out by one bad script in it.
    """
    if (session := request.scope.get(SESSION)) is not None:
        found = await queries.live_session(conn, session, now())
        if found is None:
            raise Unauthenticated("You are signed out. Sign in again.")
        return _caller(request, found)
    if not (text := bearer(request.headers.get("authorization", ""))):
        raise Unauthenticated("Send your API token in the header: Authorization: Bearer <token>.")
    return await authenticate_by(request, conn, text)


def bearer(authorization: str) -> str:
    """Return the token's text in an `Authorization` header; empty where there is none."""
    scheme, _, text = authorization.partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


async def authenticate_by(request: Request, conn: Connection, text: str) -> Caller:
    """Return who a token's text belongs to. Raises Unauthenticated, TooMany."""
    if not tokens.well_formed(text):
        raise _wrong(request, "This is not a token of ours, or a character of it is missing or mistyped.")
    found = await queries.live_token(conn, tokens.digest(text), now())
    if found is None:
        raise _wrong(request, "This token is unknown, expired or revoked.")
    return _caller(request, found)


def _caller(request: Request, found: queries.LiveToken) -> Caller:
    return Caller(
        account_id=found.account_id,
        token_id=found.id,
        token_name=found.name,
        permissions=found.permissions,
        is_operator=found.is_operator,
        client_address=client_address(request),
        request_id=request_id(request),
    )


def _wrong(request: Request, text: str) -> Unauthenticated:
    """Count a wrong token and return its refusal. Raises TooMany."""
    guesses: Guesses = request.app.state.guesses
    guesses.by_client.count(client_key(client_address(request)))
    return Unauthenticated(text)


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
        if self.permission and not permissions.allows(caller.permissions, self.permission):
            raise Forbidden(f"This token lacks the permission {self.permission}.")

    async def __call__(self, request: Request) -> Caller:
        """Return the caller, whom the route has let in."""
        return request.state.caller


def guard(permission: str | None, *, operator: bool = False) -> Any:
    """Return the dependency of a route that needs `permission`; None lets any live token in."""
    return Depends(Guard(permission, operator=operator))


Anyone = Annotated[Caller, guard(None)]
