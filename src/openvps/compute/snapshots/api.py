"""`/snapshots/`, and the client's `/servers/{id}/snapshot/`."""

import re
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from openvps.accounts import audit, standing
from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.actions import queries as actions
from openvps.compute.locations import queries as locations
from openvps.compute.locations.queries import Size
from openvps.compute.servers import power
from openvps.compute.servers import queries as servers
from openvps.compute.snapshots import queries
from openvps.compute.snapshots.shape import NAME_MOST, Created, Labelled, NewSnapshot, Restoring, Snapshot, shown
from openvps.compute.snapshots.wake import engine_name, wake
from openvps.core.clock import now
from openvps.core.db import Connection, Record
from openvps.core.errors import BadRequest, InvalidFields, NotFound, Unavailable
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.query import Parameter, asks
from openvps.core.requests import REFERENCE, Body, Reference, accepts, body_of, reference

router = APIRouter(tags=["snapshots"], route_class=Route)

Reader = Annotated[Caller, guard("snapshots:read")]
Writer = Annotated[Caller, guard("snapshots:write")]

SERVER = Parameter("server_id", "Only snapshots of this server: its id or UUID.", REFERENCE)
MOST = 5  # a server
DEADLINE = timedelta(minutes=15)


@router.get("/snapshots/", openapi_extra=asks(SERVER))
async def list_snapshots(
    request: Request, caller: Reader, conn: Conn, at: Annotated[Page, Depends(page)]
) -> Listing[Snapshot]:
    """List the snapshots of your account's servers, newest first."""
    said = request.query_params.get("server_id")
    try:
        of_server = None if said is None else reference(said)
    except NotFound:
        raise InvalidFields({"server_id": ["A server's id or UUID."]}) from None
    count, rows = await queries.page(conn, caller.account_id, of_server, offset=at.offset, limit=at.size)
    return listing(request, at, count, [shown(row) for row in rows])


@router.post(
    "/snapshots/",
    status_code=201,
    openapi_extra=accepts(NewSnapshot),
    responses={
        400: {"description": "Bad request - invalid parameters, a sixth snapshot, or the server is on its way"}
    },
)
async def create_snapshot(
    caller: Writer, conn: Conn, body: Annotated[Body[NewSnapshot], Depends(body_of(NewSnapshot))]
) -> Created:
    """Keep a server's disk as it is now; it may run meanwhile. A server has five snapshots at most."""
    server = (
        await queries.server_of(conn, caller.account_id, body.fields.server_id) if body.good("server_id") else None
    )
    if body.good("server_id") and server is None:
        body.wrong("server_id", f"There is no server {body.fields.server_id}; see GET /api/v1/servers/.")
    fields = body.check()
    if server is None:
        raise InvalidFields(body.errors)
    return await _create(conn, caller, server, fields.name, fields.description)


@router.post(
    "/servers/{reference_id}/snapshot/",
    status_code=201,
    openapi_extra=accepts(Labelled),
    responses={
        400: {"description": "Bad request - invalid parameters, a sixth snapshot, or the server is on its way"}
    },
)
async def snapshot_server(
    reference_id: Reference,
    caller: Writer,
    conn: Conn,
    body: Annotated[Body[Labelled], Depends(body_of(Labelled))],
) -> Created:
    """Keep a server's disk as it is now, as `POST /snapshots/` does; the name is made of the label or the time."""
    server = await queries.server_of(conn, caller.account_id, reference_id)
    if server is None:
        raise NotFound
    label = body.check().label or ""
    name = re.sub(r"[^A-Za-z0-9_]+", "-", label).strip("-")[:NAME_MOST] or f"snapshot-{now():%Y%m%d-%H%M%S}"
    return await _create(conn, caller, server, name, label)


@router.get("/snapshots/{reference_id}/")
async def get_snapshot(reference_id: Reference, caller: Reader, conn: Conn) -> Snapshot:
    """Show one snapshot."""
    return shown(await _one(conn, caller, reference_id))


@router.delete(
    "/snapshots/{reference_id}/",
    status_code=204,
    responses={400: {"description": "Bad request - its server is being restored from it"}},
)
async def delete_snapshot(reference_id: Reference, caller: Writer, conn: Conn) -> Response:
    """Delete a snapshot; the server stays as it is."""
    row = await _one(conn, caller, reference_id)
    server = await queries.server_of(conn, caller.account_id, row.server_id)
    if server is None:
        raise NotFound
    if server.restore_from == engine_name(row.id):
        raise BadRequest("The server is being restored from this snapshot. Delete it when the restore is done.")
    await queries.want_absent(conn, row.id, now())
    running = await actions.unfinished(conn, row.id, "snapshot")
    await actions.finish(conn, [one.id for one in running], "cancelled", "The snapshot was deleted.")
    await _act(conn, caller, row.id, "delete")
    await wake(conn, row.id, row.server_id)
    return Response(status_code=204)


@router.post(
    "/snapshots/{reference_id}/restore/",
    responses={
        400: {"description": "Bad request - the server's status doesn't allow it, or the snapshot isn't complete"}
    },
)
async def restore_snapshot(reference_id: Reference, caller: Writer, conn: Conn) -> Restoring:
    """Put a server's disk back as it was: what was written since is lost. It stops first, then is as before."""
    row = await _one(conn, caller, reference_id)
    if await queries.server_of(conn, caller.account_id, row.server_id) is None:
        raise NotFound
    if row.status != "completed":
        raise BadRequest(f"Only a completed snapshot can be restored; this one is {row.status}.")
    server, action_id = await power.begin(conn, caller, row.server_id, "restore")
    await servers.want_restore(conn, server.id, engine_name(row.id))
    found = shown(row)
    return {
        "status": "success",
        "message": "Server is being restored from the snapshot",
        "snapshot": {"id": row.id, "name": row.name, "created_at": found["created_at"]},
        "server": {"id": server.id, "name": server.name, "status": server.status},
        "action_id": action_id,
    }


async def _one(conn: Connection, caller: Caller, reference_id: int | UUID) -> Record:
    row = await queries.shown(conn, caller.account_id, reference_id)
    if row is None:
        raise NotFound
    return row


async def _create(conn: Connection, caller: Caller, server: Record, name: str, description: str) -> Created:
    """Want a snapshot of a locked server, which takes as much of the cell's room as its disk: so much it may keep.

    Raises BadRequest where the server can't have one, Unavailable where the cell has no room.
    """
    await standing.check(conn, caller.account_id)
    if server.status not in {"active", "stopped"}:
        raise BadRequest(
            f"Only an active or stopped server can have its snapshot taken; this one is {server.status}."
        )
    if await queries.count(conn, server.id) >= MOST:
        raise BadRequest(f"A server has {MOST} snapshots at most, and this one has them. Delete one first.")
    at, room = now(), Size(0, 0, server.storage_gb)
    if not await locations.reserve(conn, server.cell_id, room, seen_since=at - locations.SEEN_WITHIN):
        raise Unavailable(
            "The server's host has no room for another snapshot now, or doesn't answer. Delete one that you don't "
            "need, or try again later.",
            retry_after_s=300,
        )
    snapshot_id = await queries.add(
        conn,
        account_id=caller.account_id,
        server_id=server.id,
        storage_gb=server.storage_gb,
        name=name,
        description=description,
        look_at=at,
        deadline_at=at + DEADLINE,
    )
    action_id = await _act(conn, caller, snapshot_id, "create")
    await wake(conn, snapshot_id, server.id)
    row = await _one(conn, caller, snapshot_id)
    return {**shown(row), "message": "Snapshot is being made", "action_id": action_id}


async def _act(conn: Connection, caller: Caller, snapshot_id: int, verb: str) -> int:
    """Begin an action on a snapshot, and put it into the audit log."""
    await audit.record(conn, caller, f"{verb}_snapshot", f"snapshot {snapshot_id}")
    return await actions.begin(
        conn, account_id=caller.account_id, kind=f"snapshot.{verb}", subject_id=snapshot_id, exclusive=False
    )
