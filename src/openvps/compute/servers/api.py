"""`/servers/`: the nine published endpoints, and reset-password.

Handlers parse, authorise, write what is wanted, and answer; `converge` makes it true.
"""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from openvps.accounts import audit
from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.actions import queries as actions
from openvps.compute.servers import password, queries, shape
from openvps.compute.servers.create import Preview, create, preview
from openvps.compute.servers.fields import FullUpdate, NewServer, PartialUpdate
from openvps.compute.servers.states import STATUSES, TRANSITIONS
from openvps.core import jobs
from openvps.core.clock import now
from openvps.core.db import Connection, Record
from openvps.core.errors import BadRequest, InvalidFields, NotFound
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.requests import Body, Reference, accepts, body_of, flag

router = APIRouter(tags=["servers"], route_class=Route)

Reader = Annotated[Caller, guard("servers:read")]
Writer = Annotated[Caller, guard("servers:write")]

PROVISIONING = "Server is being provisioned. This usually takes less than 10 seconds."


@router.get("/servers/")
async def list_servers(
    request: Request, caller: Reader, conn: Conn, at: Annotated[Page, Depends(page)]
) -> Listing[shape.Summary]:
    """List all servers of your account, newest first."""
    status, code = request.query_params.get("status"), request.query_params.get("location")
    if status is not None and status not in STATUSES:
        raise InvalidFields({"status": [f"One of {', '.join(sorted(STATUSES))}."]})
    count, rows = await queries.page(
        conn, caller.account_id, status=status, code=code, offset=at.offset, limit=at.size
    )
    return listing(request, at, count, [shape.summary(row) for row in rows])


@router.post(
    "/servers/",
    status_code=201,
    response_model=shape.Created,
    openapi_extra=accepts(NewServer),
    responses={200: {"model": Preview, "description": "With `dry_run=true`: what would happen; nothing is made."}},
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


@router.get("/servers/{reference_id}/")
async def get_server(reference_id: Reference, caller: Reader, conn: Conn) -> shape.Detail:
    """Show one server, with what it uses."""
    return shape.detail(await _shown(conn, caller, reference_id), now())


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


@router.delete("/servers/{reference_id}/", status_code=204)
async def delete_server(reference_id: Reference, caller: Writer, conn: Conn) -> Response:
    """Delete a server permanently. This can't be undone."""
    await _begin(conn, caller, reference_id, "delete")
    return Response(status_code=204)


@router.post("/servers/{reference_id}/start/")
async def start_server(reference_id: Reference, caller: Writer, conn: Conn) -> shape.Power:
    """Power on a stopped server."""
    return shape.power(await _begin(conn, caller, reference_id, "start"), "Server is starting")


@router.post("/servers/{reference_id}/stop/")
async def stop_server(reference_id: Reference, caller: Writer, conn: Conn) -> shape.Power:
    """Shut a running server down gracefully; after the grace time it is cut off."""
    return shape.power(await _begin(conn, caller, reference_id, "stop"), "Server is stopping")


@router.post("/servers/{reference_id}/reboot/")
async def reboot_server(reference_id: Reference, caller: Writer, conn: Conn) -> shape.Power:
    """Restart a running server gracefully."""
    row = await _begin(conn, caller, reference_id, "reboot")
    await queries.want_reboot(conn, row.id)
    return shape.power(row, "Server is rebooting")


@router.post("/servers/{reference_id}/reset-password/")
async def reset_password(reference_id: Reference, caller: Writer, conn: Conn) -> shape.Password:
    """Give root a new password, shown in this answer only; it works within seconds."""
    text, hashed = password.make()
    row = await _shown(conn, caller, reference_id)
    if row.status != "active":
        raise BadRequest(f"Only an active server's password can be reset; this one is {row.status}.")
    await queries.want_password(conn, row.id, hashed)
    await _wake(conn, caller, row.id, "server.reset_password")
    await audit.record(conn, caller, "reset_password", f"server {row.id}")
    return {**shape.power(row, "Root password is being reset"), "password": text}


async def _shown(conn: Connection, caller: Caller, reference: int | UUID) -> Record:
    row = await queries.shown(conn, caller.account_id, reference)
    if row is None:
        raise NotFound
    return row


async def _wake(conn: Connection, caller: Caller, server_id: int, kind: str, *, exclusive: bool = False) -> None:
    """Begin an action and have converge look now."""
    await actions.begin(conn, account_id=caller.account_id, kind=kind, subject_id=server_id, exclusive=exclusive)
    await jobs.defer(conn, jobs.CONVERGE_SERVER, f"server:{server_id}", priority=jobs.CUSTOMER, server_id=server_id)


async def _begin(conn: Connection, caller: Caller, reference: int | UUID, kind: str) -> Record:
    """Put a server on its way. Raises NotFound, BadRequest where its status doesn't allow it."""
    way = TRANSITIONS[kind]
    row = await queries.begin(conn, caller.account_id, reference, way, now())
    if row is None:
        status = await queries.status_of(conn, caller.account_id, reference)
        if status is None:
            raise NotFound
        raise BadRequest(way.refused.format(status=status))
    if kind == "delete":
        await actions.cancel_unfinished(conn, row.id, "The server was deleted.")
    await _wake(conn, caller, row.id, f"server.{kind}", exclusive=True)
    await audit.record(conn, caller, f"{kind}_server", f"server {row.id}")
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
        await _wake(conn, caller, before.id, "server.rename")
    return shape.detail(await _shown(conn, caller, before.id), now())
