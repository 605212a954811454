"""Whose turn it is to be made: so many servers of a cell at once, the others wait in a row (the view `server_queue`).

A row that waits is looked at by nobody: who makes a place free, and the sweep, admit the next. What a create is given
to get done begins with its turn.
"""

from datetime import datetime, timedelta

from sqlalchemy import text

from openvps.compute.servers.states import TRANSITIONS
from openvps.compute.servers.stored import COPYING
from openvps.core import jobs
from openvps.core.clock import now
from openvps.core.db import Connection, Database

PATIENCE = timedelta(hours=1)  # for its turn to come
GIVEN_UP = "There was too much to do, and its turn to be made didn't come. Try again, or delete it."


async def admit(conn: Connection, cell_id: int, at_once: int, at: datetime) -> int:
    """Have the next servers made, if there is a place; returns how many. The cell's row is locked, as by creates."""
    locked = text("SELECT coalesce(creates_at_once, :at_once) FROM cell WHERE id = :cell FOR NO KEY UPDATE")
    most = (await conn.execute(locked, {"cell": cell_id, "at_once": at_once})).scalar_one()
    counted = text(
        "SELECT count(*) FROM server WHERE cell_id = :cell AND status = 'provisioning' AND admitted_at IS NOT NULL"
    )
    places = most - (await conn.execute(counted, {"cell": cell_id})).scalar_one()
    if places <= 0:
        return 0
    turns = text(
        # One that somebody has in hand just now is passed over: whoever has it may want the cell.
        "WITH next AS (SELECT server.id FROM server JOIN server_queue AS queue ON queue.id = server.id"
        " WHERE queue.cell_id = :cell AND queue.position <= :places"
        " AND server.status = 'provisioning' AND server.admitted_at IS NULL AND server.wanted = 'running'"
        " ORDER BY server.id FOR NO KEY UPDATE OF server SKIP LOCKED)"
        " UPDATE server SET admitted_at = :at, look_at = :at, version = version + 1,"
        " deadline_at = CASE WHEN restore_from IS NULL THEN CAST(:made_by AS timestamptz) ELSE :copied_by END"
        " FROM next WHERE next.id = server.id RETURNING server.id"
    )
    made_by = at + timedelta(seconds=TRANSITIONS["create"].deadline_s or 0)
    bound = {"cell": cell_id, "at": at, "places": places, "made_by": made_by, "copied_by": at + COPYING}
    admitted = sorted((await conn.execute(turns, bound)).scalars())
    for number in admitted:
        await jobs.defer(conn, jobs.CONVERGE_SERVER, f"server:{number}", priority=jobs.CUSTOMER, server_id=number)
    return len(admitted)


async def go_on(database: Database, at_once: int, cell_id: int | None = None) -> None:
    """Admit whose turn has come, in every cell where somebody waits, or in one."""
    async with database.begin() as conn:
        waiting = await conn.execute(
            text("SELECT DISTINCT cell_id FROM server_queue WHERE cell_id = coalesce(:cell, cell_id) ORDER BY 1"),
            {"cell": cell_id},
        )
        cells = list(waiting.scalars())
    for one in cells:
        async with database.begin() as conn:
            await admit(conn, one, at_once, now())


async def wait(conn: Connection, server_id: int) -> None:
    """Have nobody look at a server that waits, until its turn has come or hasn't for too long."""
    await conn.execute(
        text(
            "UPDATE server SET look_at = deadline_at"
            " WHERE id = :id AND status = 'provisioning' AND admitted_at IS NULL AND look_at < deadline_at"
        ),
        {"id": server_id},
    )
