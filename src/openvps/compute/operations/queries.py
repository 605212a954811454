"""The SQL of unfinished actions, everybody's, as an operator sees them."""

from datetime import timedelta

from sqlalchemy import text

from openvps.core.db import Connection, Record

SLOW = timedelta(minutes=10)  # an action that has gone on for so long wants to be looked at

_SUBJECTS = frozenset({"server", "snapshot", "backup"})
_UNFINISHED = (
    "SELECT action.id, action.uuid, action.kind, action.subject_id, action.exclusive, action.account_id,"
    " action.progress, action.cancelled_for, action.created_at, action.started_at, thing.status AS subject_status,"
    " thing.deadline_at, thing.look_at, cell.name AS cell, cell.away_at,"
    " (cell.away_at IS NOT NULL OR thing.id IS NULL OR thing.look_at IS NULL OR action.created_at < now() - :slow)"
    " AS stuck"
    " FROM action LEFT JOIN ("
    " SELECT 'server' AS what, id, status, deadline_at, look_at, cell_id FROM server UNION ALL"
    " SELECT 'snapshot', snapshot.id, snapshot.status, snapshot.deadline_at, snapshot.look_at, cell_id"
    " FROM snapshot JOIN server ON server.id = snapshot.server_id UNION ALL"
    " SELECT 'backup', backup.id, backup.status, backup.deadline_at, backup.look_at, cell_id"
    " FROM backup LEFT JOIN server ON server.id = backup.server_id"
    " ) AS thing ON thing.id = action.subject_id AND thing.what = split_part(action.kind, '.', 1)"
    " LEFT JOIN cell ON cell.id = thing.cell_id WHERE action.finished_at IS NULL"
)


async def unfinished(conn: Connection, *, stuck: bool, offset: int, limit: int) -> tuple[int, list[Record]]:
    """Return how many actions are unfinished, or `stuck`, and some of them, the oldest first."""
    chosen = f"SELECT * FROM ({_UNFINISHED}) AS one WHERE stuck OR NOT :stuck"
    bound = {"slow": SLOW, "stuck": stuck}
    count = (await conn.execute(text(f"SELECT count(*) FROM ({chosen}) AS counted"), bound)).scalar_one()
    page = text(f"{chosen} ORDER BY id OFFSET :offset LIMIT :limit")
    return count, list(await conn.execute(page, {**bound, "offset": offset, "limit": limit}))


async def one(conn: Connection, action_id: int) -> Record | None:
    """Return an unfinished action, and lock what it is about: nobody ends it before this transaction does."""
    about = text("SELECT split_part(kind, '.', 1) AS what, subject_id FROM action WHERE id = :id")
    subject = (await conn.execute(about, {"id": action_id})).one_or_none()
    if subject is not None and subject.what in _SUBJECTS:
        hold = text(f"SELECT 1 FROM {subject.what} WHERE id = :id FOR NO KEY UPDATE")
        await conn.execute(hold, {"id": subject.subject_id})
    found = await conn.execute(text(f"{_UNFINISHED} AND action.id = :id"), {"slow": SLOW, "id": action_id})
    return found.one_or_none()


async def known(conn: Connection, reference: str) -> int | None:
    """Return an action's number, given that or its UUID; finished ones too."""
    found = await conn.execute(
        text("SELECT id FROM action WHERE id::text = :reference OR uuid::text = :reference"), {"reference": reference}
    )
    return found.scalar_one_or_none()


async def give_time(conn: Connection, table: str, number: int, more: timedelta | None) -> None:
    """Have a server, snapshot or backup looked at now, with `more` time from now on if it has a deadline."""
    await conn.execute(
        text(
            f"UPDATE {table} SET look_at = now(),"
            " deadline_at = CASE WHEN deadline_at IS NULL THEN NULL"
            " ELSE greatest(deadline_at, now() + CAST(:more AS interval)) END WHERE id = :id"
        ),
        {"id": number, "more": more or timedelta(0)},
    )


async def look_at_copy(conn: Connection, table: str, number: int) -> None:
    """Have a snapshot or backup that is being made looked at now."""
    await conn.execute(
        text(f"UPDATE {table} SET look_at = now() WHERE id = :id AND wanted = 'present'"), {"id": number}
    )


async def want_cancelled(conn: Connection, action_id: int, reason: str) -> None:
    """Have an action ended by the worker, for a reason that its customer reads."""
    await conn.execute(
        text("UPDATE action SET cancelled_for = :reason WHERE id = :id"), {"id": action_id, "reason": reason}
    )


async def look_at_server(conn: Connection, number: int) -> None:
    """Have a server looked at now, as one of which something else is wanted."""
    await conn.execute(
        text("UPDATE server SET look_at = now(), version = version + 1 WHERE id = :id"), {"id": number}
    )


_CELLS = (
    "SELECT cell.id, cell.name, location.code AS location, cell.used_vcpus, cell.room_vcpus, cell.used_memory_mib,"
    " cell.room_memory_mib, cell.used_storage_gb, cell.room_storage_gb, cell.seen_at, cell.away_at, cell.away_reason,"
    " cell.paused_at, cell.paused_reason, coalesce(cell.creates_at_once, :at_once) AS creates_at_once,"
    " (SELECT count(*) FROM server WHERE cell_id = cell.id) AS servers,"
    " (SELECT count(*) FROM server WHERE cell_id = cell.id AND status = 'provisioning' AND admitted_at IS NOT NULL)"
    " AS being_made,"
    " (SELECT count(*) FROM server_queue WHERE cell_id = cell.id) AS waiting"
    " FROM cell JOIN location ON location.id = cell.location_id"
)


async def cells(conn: Connection, at_once: int) -> list[Record]:
    """Return every cell with its room, its state and how many servers are made in it or wait for that."""
    return list(await conn.execute(text(f"{_CELLS} ORDER BY cell.id"), {"at_once": at_once}))


async def cell(conn: Connection, number: int, at_once: int) -> Record | None:
    """Return one cell, likewise."""
    found = await conn.execute(text(f"{_CELLS} WHERE cell.id = :id"), {"at_once": at_once, "id": number})
    return found.one_or_none()
