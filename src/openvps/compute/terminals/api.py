"""`/servers/{id}/console/`: a ticket for the server's serial console."""

import hashlib
import secrets
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field
from typing_extensions import TypedDict

from openvps.accounts import audit, standing
from openvps.accounts.auth import SESSION, Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.compute.servers import queries as servers
from openvps.compute.terminals import queries
from openvps.core.clock import iso, now
from openvps.core.errors import BadRequest, NotFound
from openvps.core.requests import Reference

router = APIRouter(tags=["servers"], route_class=Route)

LIVES = timedelta(seconds=30)
RANDOM_BYTES = 32
PATH = "/api/v1/console/"


class Ticket(TypedDict):
    """The way to a server's serial console: good once, for 30 seconds."""

    url: Annotated[
        str,
        Field(description="The websocket to open.", examples=["wss://cloud.example.com/api/v1/console/"]),
    ]
    ticket: Annotated[
        str,
        Field(
            description="What to send there first, as the text message "
            '`{"ticket": "…"}`; what follows is typed. Shown in this answer only.',
            examples=["<43 letters and digits>"],
        ),
    ]
    expires_at: Annotated[
        str, Field(description="Until when it opens the console, UTC.", examples=["2026-11-23T14:30:30Z"])
    ]


def digest(ticket: str) -> bytes:
    """Return what is kept of a ticket."""
    return hashlib.sha256(ticket.encode()).digest()


@router.post(
    "/servers/{reference_id}/console/",
    status_code=201,
    response_description="A ticket; the terminal ends with the token, the server or the account's standing",
    responses={400: {"description": "Bad request - the server isn't active, or the account is suspended"}},
)
async def open_console(
    request: Request, reference_id: Reference, caller: Annotated[Caller, guard("servers:write")], conn: Conn
) -> Ticket:
    """Get a ticket for a server's serial console, which works when SSH doesn't; log in with the root password."""
    row = await servers.shown(conn, caller.account_id, reference_id)
    if row is None:
        raise NotFound
    await standing.check(conn, caller.account_id)
    if row.status != "active":
        raise BadRequest(f"Only an active server has a console; this one is {row.status}.")
    ticket, at = secrets.token_urlsafe(RANDOM_BYTES), now()
    await queries.forget(conn, at)
    await queries.add(
        conn,
        digest=digest(ticket),
        server_id=row.id,
        token_id=caller.token_id,
        session_digest=request.scope.get(SESSION),
        expires_at=at + LIVES,
    )
    await audit.record(conn, caller, "open_console", f"server {row.id}")
    scheme = "wss" if request.url.scheme == "https" else "ws"
    url = f"{scheme}://{request.url.netloc}{PATH}"
    return {"url": url, "ticket": ticket, "expires_at": iso(at + LIVES)}
