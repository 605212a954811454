"""Sending a server on its way: status compared and set, action begun, converge woken, in one transaction."""

from collections.abc import Mapping
from uuid import UUID

from openvps.accounts import audit, standing
from openvps.accounts.auth import Caller
from openvps.actions import queries as actions
from openvps.compute.servers import promise, queries
from openvps.compute.servers.states import TRANSITIONS
from openvps.core import jobs
from openvps.core.clock import now
from openvps.core.db import Connection, Record
from openvps.core.errors import BadRequest, NotFound
from openvps.ledger import rates


async def begin(
    conn: Connection, caller: Caller, reference: int | UUID, kind: str, *, before: Mapping[str, int] | None = None
) -> tuple[Record, int]:
    """Put a server on its way; returns its id, name and status, and the action's id.

    Raises NotFound, and BadRequest where its status doesn't allow it.
    """
    way = TRANSITIONS[kind]
    ends_at = await rates.lock(conn, caller.account_id) if kind == "delete" else None  # before the server's own lock
    if kind != "delete" and await queries.status_of(conn, caller.account_id, reference) is not None:
        await standing.check(conn, caller.account_id)
    row = await queries.begin(conn, caller.account_id, reference, way, now())
    if row is None:
        status = await queries.status_of(conn, caller.account_id, reference)
        if status is None:
            raise NotFound
        raise BadRequest(way.refused.format(status=status))
    if ends_at is not None:
        await rates.end(conn, row.id, ends_at)
    if way.cancels:
        running = await actions.unfinished(conn, row.id)
        await promise.settle(conn, row.id, running)
        await actions.finish(conn, [one.id for one in running], "cancelled", way.cancels)
    action_id = await wake(conn, caller, row.id, f"server.{kind}", exclusive=True, before=before)
    await audit.record(conn, caller, f"{kind}_server", f"server {row.id}")
    return row, action_id


async def reboot(conn: Connection, caller: Caller, reference: int | UUID) -> tuple[Record, int]:
    """Have an active server restarted cleanly, once more than it has been. Raises as `begin`."""
    row, action_id = await begin(conn, caller, reference, "reboot")
    await queries.want_reboot(conn, row.id)
    return row, action_id


async def wake(
    conn: Connection,
    caller: Caller,
    server_id: int,
    kind: str,
    *,
    exclusive: bool = False,
    before: Mapping[str, int] | None = None,
) -> int:
    """Begin an action and have converge look now; returns the action's id."""
    action_id = await actions.begin(
        conn, account_id=caller.account_id, kind=kind, subject_id=server_id, exclusive=exclusive, before=before
    )
    await jobs.defer(conn, jobs.CONVERGE_SERVER, f"server:{server_id}", priority=jobs.CUSTOMER, server_id=server_id)
    return action_id
