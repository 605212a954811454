"""`/admin/cells/`, `/admin/locations/` and `/admin/actions/`: what an operator steers by."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from openvps.accounts import audit
from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.compute.locations import queries as locations
from openvps.compute.operations import levers, queries, shape
from openvps.core.db import Connection
from openvps.core.errors import NotFound
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.query import Parameter, asks
from openvps.core.requests import Body, Reference, accepts, body_of, flag

router = APIRouter(tags=["operations"], route_class=Route)

Reader = Annotated[Caller, guard("operations:read", operator=True)]
Writer = Annotated[Caller, guard("operations:write", operator=True)]
Pausing = Annotated[Body[shape.Pause], Depends(body_of(shape.Pause))]
STUCK = Parameter("stuck", "Only those that don't get on.", {"type": "boolean", "default": False})


@router.get("/admin/cells/")
async def list_cells(
    request: Request, _caller: Reader, conn: Conn, at: Annotated[Page, Depends(page)]
) -> Listing[shape.AdminCell]:
    """List the cells, with their room and their state. For operators."""
    rows = await queries.cells(conn, request.app.state.settings.creates_at_once)
    return listing(request, at, len(rows), [shape.cell(row) for row in rows[at.offset : at.offset + at.size]])


@router.get("/admin/cells/{reference_id}/")
async def get_cell(request: Request, reference_id: Reference, _caller: Reader, conn: Conn) -> shape.AdminCell:
    """Show one cell. For operators."""
    return await _cell(request, conn, reference_id)


@router.patch("/admin/cells/{reference_id}/", openapi_extra=accepts(shape.CellChange))
async def change_cell(
    request: Request,
    reference_id: Reference,
    caller: Writer,
    conn: Conn,
    body: Annotated[Body[shape.CellChange], Depends(body_of(shape.CellChange))],
) -> shape.AdminCell:
    """Change how many servers are made in a cell at once; further ones wait for their turn. For operators."""
    fields = body.check()
    found = await _cell(request, conn, reference_id)
    await locations.limit_creates(conn, found["id"], fields.creates_at_once)
    await audit.record(conn, caller, "change_cell", f"cell {found['id']}")
    return await _cell(request, conn, reference_id)


@router.post("/admin/cells/{reference_id}/pause/", openapi_extra=accepts(shape.Pause))
async def pause_cell(
    request: Request, reference_id: Reference, caller: Writer, conn: Conn, body: Pausing
) -> shape.AdminCell:
    """Have no new servers made in a cell; those that are there go on, resize and are deleted. For operators."""
    found, reason = await _cell(request, conn, reference_id), body.check().reason
    await locations.pause(conn, "cell", found["id"], reason)
    await audit.record(conn, caller, "pause_cell", f"cell {found['id']}", reason=reason)
    return await _cell(request, conn, reference_id)


@router.post("/admin/cells/{reference_id}/resume/")
async def resume_cell(request: Request, reference_id: Reference, caller: Writer, conn: Conn) -> shape.AdminCell:
    """Have new servers made in a cell again. For operators."""
    found = await _cell(request, conn, reference_id)
    await locations.resume(conn, "cell", found["id"])
    await audit.record(conn, caller, "resume_cell", f"cell {found['id']}")
    return await _cell(request, conn, reference_id)


@router.get("/admin/locations/")
async def list_location_pauses(
    request: Request, _caller: Reader, conn: Conn, at: Annotated[Page, Depends(page)]
) -> Listing[shape.AdminLocation]:
    """List the locations, and whether new servers are made there. For operators."""
    rows = await locations.pauses(conn)
    return listing(request, at, len(rows), [shape.location(row) for row in rows[at.offset : at.offset + at.size]])


@router.post("/admin/locations/{reference_id}/pause/", openapi_extra=accepts(shape.Pause))
async def pause_location(reference_id: Reference, caller: Writer, conn: Conn, body: Pausing) -> shape.AdminLocation:
    """Have no new servers made in any cell of a location; those that are there go on. For operators."""
    number, reason = await _location(conn, reference_id), body.check().reason
    await locations.pause(conn, "location", number, reason)
    await audit.record(conn, caller, "pause_location", f"location {number}", reason=reason)
    return await _location_shown(conn, number)


@router.post("/admin/locations/{reference_id}/resume/")
async def resume_location(reference_id: Reference, caller: Writer, conn: Conn) -> shape.AdminLocation:
    """Have new servers made in a location again. For operators."""
    number = await _location(conn, reference_id)
    await locations.resume(conn, "location", number)
    await audit.record(conn, caller, "resume_location", f"location {number}")
    return await _location_shown(conn, number)


@router.get("/admin/actions/", openapi_extra=asks(STUCK))
async def list_unfinished_actions(
    request: Request, _caller: Reader, conn: Conn, at: Annotated[Page, Depends(page)]
) -> Listing[shape.AdminAction]:
    """List everybody's unfinished actions, the oldest first. For operators."""
    stuck = flag(request, "stuck")
    count, rows = await queries.unfinished(conn, stuck=stuck, offset=at.offset, limit=at.size)
    return listing(request, at, count, [shape.action(row) for row in rows])


@router.post("/admin/actions/{reference_id}/retry/")
async def retry_action(reference_id: Reference, caller: Writer, conn: Conn) -> shape.AdminAction:
    """Have an unfinished action tried now, and give it its time again. For operators."""
    row = await levers.found(conn, await queries.known(conn, str(reference_id)))
    await levers.retry(conn, row)
    await audit.record(conn, caller, "retry_action", f"action {row.id}")
    return shape.action(await levers.found(conn, row.id))


@router.post(
    "/admin/actions/{reference_id}/cancel/",
    openapi_extra=accepts(shape.Ending),
    responses={400: {"description": "Bad request - it has ended, or can't be cancelled"}},
)
async def cancel_action(
    reference_id: Reference,
    caller: Writer,
    conn: Conn,
    body: Annotated[Body[shape.Ending], Depends(body_of(shape.Ending))],
) -> shape.AdminAction:
    """Have an unfinished action ended, as if it had failed, with a reason that its customer reads. For operators."""
    row, reason = await levers.found(conn, await queries.known(conn, str(reference_id))), body.check().reason
    await levers.cancel(conn, row, reason)
    await audit.record(conn, caller, "cancel_action", f"action {row.id}", reason=reason)
    return shape.action(await levers.found(conn, row.id))


async def _cell(request: Request, conn: Connection, reference: int | UUID) -> shape.AdminCell:
    at_once = request.app.state.settings.creates_at_once
    row = await queries.cell(conn, reference, at_once) if isinstance(reference, int) else None
    if row is None:
        raise NotFound
    return shape.cell(row)


async def _location(conn: Connection, reference: int | UUID) -> int:
    row = await locations.location_shown(conn, reference)
    if row is None:
        raise NotFound
    return row.id


async def _location_shown(conn: Connection, number: int) -> shape.AdminLocation:
    return next(shape.location(row) for row in await locations.pauses(conn) if row.id == number)
