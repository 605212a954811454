"""`/servers/`: the nine published endpoints, and reset-password.

Handlers parse, authorise, write what is wanted, and answer; `converge` makes it true.
"""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from openvps.accounts import audit, standing
from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn, Tx
from openvps.actions import queries as actions
from openvps.actions import waiting
from openvps.actions.shape import Action
from openvps.actions.shape import shown as action
from openvps.compute.servers import password, power, queries, search, shape
from openvps.compute.servers.create import Preview, create, preview
from openvps.compute.servers.fields import FullUpdate, NewServer, PartialUpdate, PowerAction, Rebuild, Resize
from openvps.compute.servers.rebuild import rebuild
from openvps.compute.servers.resize import resize
from openvps.compute.servers.retry import retry
from openvps.compute.servers.states import SETTLED, STATUSES
from openvps.core.clock import now
from openvps.core.db import Connection, Record
from openvps.core.errors import BadRequest, InvalidFields, NotFound
from openvps.core.paging import Listing, Page, listing, page, written
from openvps.core.query import Parameter, asks
from openvps.core.requests import Body, Reference, accepts, body_of, flag
from openvps.core.seek import Seek, listed, seek

router = APIRouter(tags=["servers"], route_class=Route)

Reader = Annotated[Caller, guard("servers:read")]
Writer = Annotated[Caller, guard("servers:write")]

STATUS = Parameter("status", "Only servers with this status.", {"type": "string", "enum": sorted(STATUSES)})
LOCATION = Parameter("location", "Only servers in this location: its code.")
NAME = Parameter("name", "Only servers with this in their name, in any case.")
TAG = Parameter("tag", "Only servers with this tag; given several times, with all of them.")
DRY_RUN = Parameter(
    "dry_run",
    "Say what it would cost and what would be refused, and make nothing.",
    {"type": "boolean", "default": False},
)

PROVISIONING = "Server is being provisioned. This usually takes less than 10 seconds."


@router.get("/servers/", response_model=Listing[shape.Summary], openapi_extra=asks(STATUS, LOCATION, NAME, TAG))
async def list_servers(
    request: Request,
    caller: Reader,
    conn: Conn,
    at: Annotated[Seek, Depends(seek(search.ORDERS, search.NEWEST_FIRST))],
) -> Response:
    """List all servers of your account, newest first."""
    query = request.query_params
    status = query.get("status")
    if status is not None and status not in STATUSES:
        raise InvalidFields({"status": [f"One of {', '.join(sorted(STATUSES))}."]})
    by = search.Filters(status, query.get("location"), query.get("name"), query.getlist("tag"))
    count, rows = await search.page(conn, caller.account_id, by, at)
    return written(listed(request, at, count, rows, lambda row: row.shown))


@router.post(
    "/servers/",
    status_code=201,
    response_model=shape.Created,
    openapi_extra=accepts(NewServer) | asks(DRY_RUN),
    response_description="The server is made and on its way",
    responses={
        200: {"model": Preview, "description": "With `dry_run=true`: what would happen; nothing is made."},
        402: {"description": "Payment required - not enough credit"},
    },
)
async def create_server(
    request: Request, caller: Writer, conn: Conn, body: Annotated[Body[NewServer], Depends(body_of(NewServer))]
) -> shape.Created | JSONResponse:
    """Deploy a new server with the given configuration."""
    settings = request.app.state.settings
    if flag(request, "dry_run"):
        return JSONResponse(await preview(conn, caller, body, settings))
    row = await create(conn, caller, body, settings)
    return shape.created(row, PROVISIONING)


@router.get("/servers/{reference_id}/", openapi_extra=asks(waiting.WAIT))
async def get_server(request: Request, reference_id: Reference, caller: Reader, tx: Tx) -> shape.Detail:
    """Show one server, with what it uses."""

    async def look(conn: Connection) -> Record:
        return await _shown(conn, caller, reference_id)

    row = await look(await tx.connection())
    if waiting.seconds(request) and row.status not in SETTLED:
        row = await waiting.until(request, tx, f"server:{row.id}", look, lambda row: row.status in SETTLED)
    return shape.detail(row, now())


@router.put("/servers/{reference_id}/", openapi_extra=accepts(FullUpdate))
async def update_server(
    reference_id: Reference,
    caller: Writer,
    conn: Conn,
    body: Annotated[Body[FullUpdate], Depends(body_of(FullUpdate))],
) -> shape.Detail:
    """Update a server's configuration; all fields are required."""
    return await _update(conn, caller, reference_id, body)


@router.patch("/servers/{reference_id}/", openapi_extra=accepts(PartialUpdate))
async def patch_server(
    reference_id: Reference,
    caller: Writer,
    conn: Conn,
    body: Annotated[Body[PartialUpdate], Depends(body_of(PartialUpdate))],
) -> shape.Detail:
    """Update only the given fields of a server."""
    return await _update(conn, caller, reference_id, body)


@router.delete(
    "/servers/{reference_id}/",
    status_code=204,
    response_description="The server is gone; `Location` names the action that clears it away",
    responses={400: {"description": "Bad request - the server is already being deleted"}},
)
async def delete_server(request: Request, reference_id: Reference, caller: Writer, conn: Conn) -> Response:
    """Delete a server permanently. This can't be undone."""
    _, action_id = await power.begin(conn, caller, reference_id, "delete")
    return Response(status_code=204, headers={"Location": str(request.url_for("get_action", reference_id=action_id))})


@router.post(
    "/servers/{reference_id}/start/",
    responses={400: {"description": "Bad request - the server is already running, or on its way"}},
)
async def start_server(reference_id: Reference, caller: Writer, conn: Conn) -> shape.Power:
    """Power on a stopped server."""
    return shape.power(*await power.begin(conn, caller, reference_id, "start"), "Server is starting")


@router.post(
    "/servers/{reference_id}/retry/",
    responses={
        400: {"description": "Bad request - only a server that couldn't be made can be tried again"},
        402: {"description": "Payment required - not enough credit"},
    },
)
async def retry_server(request: Request, reference_id: Reference, caller: Writer, conn: Conn) -> shape.Power:
    """Try again to make a server that couldn't be made. It keeps its name, plan and addresses; its disk is new."""
    row, action_id = await retry(conn, caller, reference_id, request.app.state.settings)
    return shape.power(row, action_id, "Server is being provisioned")


@router.post(
    "/servers/{reference_id}/stop/", responses={400: {"description": "Bad request - the server is not running"}}
)
async def stop_server(reference_id: Reference, caller: Writer, conn: Conn) -> shape.Power:
    """Shut a running server down gracefully; after the grace time it is cut off."""
    return shape.power(*await power.begin(conn, caller, reference_id, "stop"), "Server is stopping")


@router.post(
    "/servers/{reference_id}/reboot/", responses={400: {"description": "Bad request - the server is not running"}}
)
async def reboot_server(reference_id: Reference, caller: Writer, conn: Conn) -> shape.Power:
    """Restart a running server gracefully."""
    return shape.power(*await power.reboot(conn, caller, reference_id), "Server is rebooting")


@router.post(
    "/servers/{reference_id}/power/",
    openapi_extra=accepts(PowerAction),
    responses={400: {"description": "Bad request - invalid parameters, or the server's status doesn't allow it"}},
)
async def power_server(
    reference_id: Reference,
    caller: Writer,
    conn: Conn,
    body: Annotated[Body[PowerAction], Depends(body_of(PowerAction))],
) -> shape.Power:
    """Start, stop or restart a server, or cut its power (`hard_stop`), which also ends what is under way."""
    action = body.check().action
    if action == "restart":
        return shape.power(*await power.reboot(conn, caller, reference_id), "Server is rebooting")
    message = "Server is starting" if action == "start" else "Server is stopping"
    return shape.power(*await power.begin(conn, caller, reference_id, action), message)


@router.post(
    "/servers/{reference_id}/resize/",
    openapi_extra=accepts(Resize),
    responses={
        400: {"description": "Bad request - invalid parameters, a smaller disk, or a status that doesn't allow it"},
        402: {"description": "Payment required - not enough credit"},
    },
)
async def resize_server(
    request: Request,
    reference_id: Reference,
    caller: Writer,
    conn: Conn,
    body: Annotated[Body[Resize], Depends(body_of(Resize))],
) -> shape.Resized:
    """Give a server another plan. It grows while it runs; where it has to be restarted, the answer says so."""
    row, action_id, restarts = await resize(conn, caller, reference_id, body, request.app.state.settings)
    message = "Server is resizing; it will be restarted" if restarts else "Server is resizing"
    return {**shape.power(row, action_id, message), "restart": restarts}


@router.post(
    "/servers/{reference_id}/rebuild/",
    openapi_extra=accepts(Rebuild),
    responses={
        400: {"description": "Bad request - invalid parameters, it has snapshots, or a status that forbids it"}
    },
)
async def rebuild_server(
    reference_id: Reference,
    caller: Writer,
    conn: Conn,
    body: Annotated[Body[Rebuild], Depends(body_of(Rebuild))],
) -> shape.Power:
    """Install an operating system anew: all data is lost; addresses, name, plan and SSH keys stay."""
    return shape.power(*await rebuild(conn, caller, reference_id, body), "Server is being rebuilt")


@router.get("/servers/{reference_id}/actions/")
async def list_server_actions(
    request: Request, reference_id: Reference, caller: Reader, conn: Conn, at: Annotated[Page, Depends(page)]
) -> Listing[Action]:
    """List what was done to a server, newest first."""
    row = await _shown(conn, caller, reference_id)
    count, rows = await actions.page(conn, caller.account_id, row.id, offset=at.offset, limit=at.size)
    return listing(request, at, count, [action(row) for row in rows])


@router.post(
    "/servers/{reference_id}/reset-password/",
    responses={400: {"description": "Bad request - the server is not active"}},
)
async def reset_password(reference_id: Reference, caller: Writer, conn: Conn) -> shape.Password:
    """Give root a new password, shown in this answer only; it works within seconds."""
    text, hashed = password.make()
    row = await _shown(conn, caller, reference_id)
    await standing.check(conn, caller.account_id)
    if row.status != "active":
        raise BadRequest(f"Only an active server's password can be reset; this one is {row.status}.")
    await queries.want_password(conn, row.id, hashed)
    action_id = await power.wake(conn, caller, row.id, "server.reset_password")
    await audit.record(conn, caller, "reset_password", f"server {row.id}")
    return {**shape.power(row, action_id, "Root password is being reset"), "password": text}


async def _shown(conn: Connection, caller: Caller, reference: int | UUID) -> Record:
    row = await queries.shown(conn, caller.account_id, reference)
    if row is None:
        raise NotFound
    return row


async def _update(
    conn: Connection, caller: Caller, reference: int | UUID, body: Body[FullUpdate] | Body[PartialUpdate]
) -> shape.Detail:
    """Write the given fields; a new host name reaches the server, and holds from its next boot."""
    fields = body.check()
    values = {name: value for name in body.given if (value := getattr(fields, name)) is not None}
    before = await _shown(conn, caller, reference)
    renamed = values.get("hostname", before.hostname) != before.hostname
    if values:
        await queries.change(conn, before.id, values, wake=renamed, at=now())
        await audit.record(conn, caller, "update_server", f"server {before.id}")
    if renamed:
        await power.wake(conn, caller, before.id, "server.rename")
    return shape.detail(await _shown(conn, caller, before.id), now())
