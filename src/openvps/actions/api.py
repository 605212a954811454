"""`/actions/{id}/`: how far something is that takes its time."""

from typing import Annotated

from fastapi import APIRouter, Request

from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Tx
from openvps.actions import queries, waiting
from openvps.actions.shape import Action, shown
from openvps.core.db import Connection, Record
from openvps.core.errors import NotFound
from openvps.core.query import asks
from openvps.core.requests import Reference

router = APIRouter(tags=["actions"], route_class=Route)


@router.get("/actions/{reference_id}/", openapi_extra=asks(waiting.WAIT))
async def get_action(
    request: Request, reference_id: Reference, caller: Annotated[Caller, guard("servers:read")], tx: Tx
) -> Action:
    """Show one action: how far it is, and why it failed if it did."""

    async def look(conn: Connection) -> Record:
        row = await queries.shown(conn, caller.account_id, reference_id)
        if row is None:
            raise NotFound
        return row

    row = await look(await tx.connection())
    return shown(await waiting.until(request, tx, f"action:{row.id}", look, lambda row: row.finished_at is not None))
