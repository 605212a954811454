"""What an operator does about an action that doesn't get on: have it tried now, with fresh time, or ended.

Nothing is done here to a machine: rows are written, and converge makes them true.
"""

from datetime import timedelta

from openvps.compute.operations import queries
from openvps.compute.servers import queries as servers
from openvps.compute.servers import stored
from openvps.compute.servers.states import transition
from openvps.compute.snapshots import wake as snapshots
from openvps.core import jobs
from openvps.core.db import Connection, Record
from openvps.core.errors import BadRequest, NotFound

COPY = timedelta(minutes=30)  # for a snapshot or backup that is tried again
REASON = "The service's operator ended it."


async def found(conn: Connection, action_id: int | None) -> Record:
    """Return an unfinished action. Raises NotFound, BadRequest where it has ended."""
    if action_id is None:
        raise NotFound
    row = await queries.one(conn, action_id)
    if row is None:
        raise BadRequest("It has ended.")
    return row


async def retry(conn: Connection, row: Record) -> None:
    """Have an action tried now, and give it its time again."""
    subject, _, _ = row.kind.partition(".")
    if subject == "server":
        way = transition(row.kind)
        more = timedelta(seconds=way.deadline_s) if way and way.deadline_s else None
        await queries.give_time(conn, subject, row.subject_id, more)
        await _wake_server(conn, row.subject_id)
    elif subject in {"snapshot", "backup"}:
        await queries.give_time(conn, subject, row.subject_id, COPY)
        await _wake_copy(conn, subject, row.subject_id)
    else:
        raise BadRequest(f"{row.kind} can't be tried again.")


async def cancel(conn: Connection, row: Record, reason: str) -> None:
    """Have an action ended, as if it had failed, with a reason that the customer reads. Raises BadRequest."""
    subject, _, verb = row.kind.partition(".")
    if verb == "delete":
        raise BadRequest("What is deleted is deleted: it is tried until it is done.")
    if subject != "server" and row.kind not in {"snapshot.create", "backup.create"}:
        raise BadRequest(f"{row.kind} can't be cancelled.")
    await queries.want_cancelled(conn, row.id, reason or REASON)
    if subject == "server":
        await queries.look_at_server(conn, row.subject_id)
        await _wake_server(conn, row.subject_id)
    else:
        await queries.look_at_copy(conn, subject, row.subject_id)
        await _wake_copy(conn, subject, row.subject_id)


async def _wake_server(conn: Connection, number: int) -> None:
    await jobs.defer(conn, jobs.CONVERGE_SERVER, f"server:{number}", priority=jobs.CUSTOMER, server_id=number)


async def _wake_copy(conn: Connection, subject: str, number: int) -> None:
    if subject == "backup":
        await stored.wake(conn, number)
    elif (server_id := await servers.of_snapshot(conn, number)) is not None:
        await snapshots.wake(conn, number, server_id)
