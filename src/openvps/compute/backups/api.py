"""`/backups/`, and the client's `/servers/{id}/backup/`."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from openvps.accounts import audit, standing
from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.actions import queries as actions
from openvps.compute.backups import proof_wanted, queries
from openvps.compute.backups.shape import Backup, Created, NewBackup, RestoringBackup, Verifying, shown
from openvps.compute.servers import power
from openvps.compute.servers import queries as servers
from openvps.compute.servers.stored import COPYING, tag, wake
from openvps.core import jobs
from openvps.core.clock import now
from openvps.core.db import Connection, Record
from openvps.core.errors import BadRequest, InvalidFields, NotFound, Unavailable
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.query import Parameter, asks
from openvps.core.requests import REFERENCE, Body, Reference, accepts, body_of, reference

router = APIRouter(tags=["backups"], route_class=Route)

Reader = Annotated[Caller, guard("backups:read")]
Writer = Annotated[Caller, guard("backups:write")]

TYPES = ("manual", "automatic")
SERVER = Parameter("server_id", "Only backups of this server: its id or UUID.", REFERENCE)
TYPE = Parameter("backup_type", "Only backups of this kind.", {"type": "string", "enum": list(TYPES)})
DEADLINE = timedelta(hours=6)
REFUSED: dict[int | str, dict[str, Any]] = {
    400: {"description": "Bad request - invalid parameters, one is under way, or the server is on its way"}
}


@router.get("/backups/", openapi_extra=asks(SERVER, TYPE))
async def list_backups(
    request: Request, caller: Reader, conn: Conn, at: Annotated[Page, Depends(page)]
) -> Listing[Backup]:
    """List your account's backups, newest first, those of deleted servers too."""
    said, kind = request.query_params.get("server_id"), request.query_params.get("backup_type")
    wrong: dict[str, list[str]] = {}
    of_server = None
    if said is not None:
        try:
            of_server = reference(said)
        except NotFound:
            wrong["server_id"] = ["A server's id or UUID."]
    if kind is not None and kind not in TYPES:
        wrong["backup_type"] = ["`manual` or `automatic`."]
    if wrong:
        raise InvalidFields(wrong)
    count, rows = await queries.page(conn, caller.account_id, of_server, kind, offset=at.offset, limit=at.size)
    return listing(request, at, count, [shown(row) for row in rows])


@router.post("/backups/", status_code=201, openapi_extra=accepts(NewBackup), responses=REFUSED)
async def create_backup(
    caller: Writer, conn: Conn, body: Annotated[Body[NewBackup], Depends(body_of(NewBackup))]
) -> Created:
    """Copy a server's disk as it is now into the store; it may run meanwhile."""
    server = (
        await queries.server_of(conn, caller.account_id, body.fields.server_id) if body.good("server_id") else None
    )
    if body.good("server_id") and server is None:
        body.wrong("server_id", f"There is no server {body.fields.server_id}; see GET /api/v1/servers/.")
    fields = body.check()
    if server is None:
        raise InvalidFields(body.errors)
    return await _create(conn, caller, server, fields.description)


@router.post("/servers/{reference_id}/backup/", status_code=201, responses=REFUSED)
async def backup_server(reference_id: Reference, caller: Writer, conn: Conn) -> Created:
    """Copy a server's disk into the store, as `POST /backups/` does."""
    server = await queries.server_of(conn, caller.account_id, reference_id)
    if server is None:
        raise NotFound
    return await _create(conn, caller, server, "")


@router.get("/backups/{reference_id}/")
async def get_backup(reference_id: Reference, caller: Reader, conn: Conn) -> Backup:
    """Show one backup."""
    return shown(await _one(conn, caller, reference_id))


@router.delete(
    "/backups/{reference_id}/",
    status_code=204,
    responses={400: {"description": "Bad request - a server is being restored from it"}},
)
async def delete_backup(reference_id: Reference, caller: Writer, conn: Conn) -> Response:
    """Delete a backup. This can't be undone."""
    row = await _one(conn, caller, reference_id)
    if await queries.borrowers(conn, row.id):
        raise BadRequest("A server is being restored from this backup. Delete it when the restore is done.")
    await queries.want_absent(conn, row.id, now())
    running = await actions.unfinished(conn, row.id, "backup")
    await actions.finish(conn, [one.id for one in running], "cancelled", "The backup was deleted.")
    await _act(conn, caller, row.id, "delete")
    await wake(conn, row.id)
    return Response(status_code=204)


@router.post(
    "/backups/{reference_id}/restore/",
    responses={
        400: {
            "description": "Bad request - the server's status doesn't allow it, it has snapshots, or the backup "
            "isn't complete"
        },
        404: {"description": "Not found - there is no such backup, or its server was deleted"},
    },
)
async def restore_backup(reference_id: Reference, caller: Writer, conn: Conn) -> RestoringBackup:
    """Put a server's disk back as in a backup: what was written since is lost. It stops first, then is as before."""
    row = await _one(conn, caller, reference_id)
    if await queries.server_of(conn, caller.account_id, row.server_id) is None:
        raise NotFound(
            "The server of this backup was deleted. Make a new one of it: POST /api/v1/servers/ with `backup_id`."
        )
    if row.status != "completed":
        raise BadRequest(f"Only a completed backup can be restored; this one is {row.status}.")
    if await servers.has_snapshots(conn, row.server_id):
        raise BadRequest("The server has snapshots of the disk that this replaces. Delete them first.")
    server, action_id = await power.begin(conn, caller, row.server_id, "restore")
    at = now()
    await servers.want_restore(conn, server.id, tag(row.id), deadline_at=at + COPYING)
    await servers.want_copy(conn, row.id, at)
    await wake(conn, row.id)
    return {
        "status": "success",
        "message": "Server is being restored from the backup",
        "backup": {"id": row.id, "created_at": shown(row)["created_at"]},
        "server": {"id": server.id, "name": server.name, "status": server.status},
        "action_id": action_id,
    }


@router.post(
    "/backups/{reference_id}/verify/",
    responses={400: {"description": "Bad request - the backup isn't complete, or is being verified already"}},
)
async def verify_backup(reference_id: Reference, caller: Writer, conn: Conn) -> Verifying:
    """Prove that a backup can be restored: in a throw-away machine without network, which is compared and booted."""
    row = await _one(conn, caller, reference_id)
    await standing.check(conn, caller.account_id)
    if row.status != "completed":
        raise BadRequest(f"Only a completed backup can be verified; this one is {row.status}.")
    if row.verify_cell_id is not None:
        raise BadRequest("This backup is being verified already. Wait until that is done.")
    action_id = await proof_wanted.begin(conn, row.id, caller.account_id, priority=jobs.CUSTOMER)
    if action_id is None:
        raise Unavailable("No host can verify it now. Try again later.", retry_after_s=60)
    await audit.record(conn, caller, "verify_backup", f"backup {row.id}")
    row = await _one(conn, caller, row.id)
    return {**shown(row), "message": "Backup is being verified", "action_id": action_id}


async def _one(conn: Connection, caller: Caller, reference_id: int | UUID) -> Record:
    row = await queries.shown(conn, caller.account_id, reference_id)
    if row is None:
        raise NotFound
    return row


async def _create(conn: Connection, caller: Caller, server: Record, description: str) -> Created:
    """Want a backup of a locked server. Raises BadRequest where it can't have one now."""
    await standing.check(conn, caller.account_id)
    if server.status not in {"active", "stopped"}:
        raise BadRequest(f"Only an active or stopped server can be backed up; this one is {server.status}.")
    if await queries.under_way(conn, server.id):
        raise BadRequest("A backup of this server is being made. Wait until it is done, or delete it.")
    at = now()
    backup_id = await queries.add(
        conn,
        account_id=caller.account_id,
        server_id=server.id,
        server_uuid=server.uuid,
        server_name=server.name,
        system_id=server.system_id,
        storage_gb=server.storage_gb,
        backup_type="manual",
        description=description,
        look_at=at,
        deadline_at=at + DEADLINE,
    )
    action_id = await _act(conn, caller, backup_id, "create")
    await wake(conn, backup_id, making_in=server.cell_id)
    row = await _one(conn, caller, backup_id)
    return {**shown(row), "message": "Backup is being made", "action_id": action_id}


async def _act(conn: Connection, caller: Caller, backup_id: int, verb: str) -> int:
    """Begin an action on a backup, and put it into the audit log."""
    await audit.record(conn, caller, f"{verb}_backup", f"backup {backup_id}")
    return await actions.begin(
        conn, account_id=caller.account_id, kind=f"backup.{verb}", subject_id=backup_id, exclusive=False
    )
