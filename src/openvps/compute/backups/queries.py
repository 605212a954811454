"""The SQL of backups. One that is wanted absent is deleted for its customer; a backup outlives its server."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, exists, func, insert, or_, select, update

from openvps.core.db import Connection, Record
from openvps.schema import backup, server

_SHOWN = (
    backup.c.id,
    backup.c.uuid,
    backup.c.server_id,
    backup.c.server_name,
    backup.c.backup_type,
    backup.c.status,
    backup.c.error,
    backup.c.size_bytes,
    backup.c.created_at,
    backup.c.expires_at,
    backup.c.description,
)


def _of(account_id: int) -> tuple[Any, ...]:
    return backup.c.account_id == account_id, backup.c.wanted == "present"


async def page(
    conn: Connection,
    account_id: int,
    of_server: int | UUID | None,
    backup_type: str | None,
    *,
    offset: int,
    limit: int,
) -> tuple[int, list[Record]]:
    """Return how many backups the account has, of one server or kind or all, and some of them, newest first."""
    where = [*_of(account_id)]
    if of_server is not None:
        where.append((backup.c.server_uuid if isinstance(of_server, UUID) else backup.c.server_id) == of_server)
    if backup_type is not None:
        where.append(backup.c.backup_type == backup_type)
    count = (await conn.execute(select(func.count()).select_from(backup).where(*where))).scalar_one()
    listed = select(*_SHOWN).where(*where).order_by(backup.c.id.desc()).offset(offset).limit(limit)
    return count, list(await conn.execute(listed))


async def shown(conn: Connection, account_id: int, reference: int | UUID) -> Record | None:
    """Return one of the account's backups."""
    key = backup.c.uuid if isinstance(reference, UUID) else backup.c.id
    return (await conn.execute(select(*_SHOWN).where(*_of(account_id), key == reference))).one_or_none()


async def server_of(conn: Connection, account_id: int, reference: int | UUID) -> Record | None:
    """Return one of the account's servers, locked: so that its backups under way can be counted."""
    key = server.c.uuid if isinstance(reference, UUID) else server.c.id
    where = (server.c.account_id == account_id, server.c.wanted != "absent", key == reference)
    columns = (server.c.id, server.c.uuid, server.c.name, server.c.status, server.c.restore_from)
    return (await conn.execute(select(*columns).where(*where).with_for_update())).one_or_none()


async def under_way(conn: Connection, server_id: int) -> bool:
    """Whether a backup of a server is being made."""
    where = (backup.c.server_id == server_id, backup.c.wanted == "present", backup.c.status == "in_progress")
    return (await conn.execute(select(backup.c.id).where(*where).limit(1))).scalar_one_or_none() is not None


async def add(conn: Connection, **values: Any) -> int:
    """Want one more backup; returns its id."""
    return (await conn.execute(insert(backup).values(**values).returning(backup.c.id))).scalar_one()


async def want_absent(conn: Connection, backup_id: int, at: datetime) -> None:
    """Want a backup gone."""
    values = {"wanted": "absent", "look_at": at, "deadline_at": None}
    await conn.execute(update(backup).where(backup.c.id == backup_id).values(**values))


# the worker's side


@dataclass(frozen=True)
class Row:
    """What the worker knows of a backup; `cell_id` is null once the server is gone."""

    id: int
    server_id: int
    cell_id: int | None
    status: str
    wanted: str
    deadline_at: datetime | None
    restore_from: str | None


async def row(conn: Connection, backup_id: int) -> Row | None:
    """Return what the worker needs of a backup."""
    columns = (backup.c.id, backup.c.server_id, server.c.cell_id, backup.c.status, backup.c.wanted)
    joined = backup.outerjoin(server, server.c.id == backup.c.server_id)
    found = await conn.execute(
        select(*columns, backup.c.deadline_at, server.c.restore_from)
        .select_from(joined)
        .where(backup.c.id == backup_id)
    )
    one = found.one_or_none()
    return Row(*one) if one else None


async def settle(
    conn: Connection, seen: Row, *, status: str, size_bytes: int | None = None, error: str | None = None
) -> bool:
    """End a backup's way, unless it is wanted otherwise since `seen`."""
    values = {"status": status, "size_bytes": size_bytes, "error": error, "look_at": None, "deadline_at": None}
    done = await conn.execute(
        update(backup).where(backup.c.id == seen.id, backup.c.wanted == seen.wanted).values(**values)
    )
    return done.rowcount == 1


async def want_copy(conn: Connection, backup_id: int, at: datetime) -> None:
    """Have the worker copy a backup to its server's cell."""
    await conn.execute(update(backup).where(backup.c.id == backup_id).values(look_at=at))


async def rests(conn: Connection, seen: Row) -> None:
    """Note that there is nothing to do for a backup."""
    await conn.execute(
        update(backup).where(backup.c.id == seen.id, backup.c.wanted == seen.wanted).values(look_at=None)
    )


async def remove(conn: Connection, backup_id: int) -> None:
    """Delete a backup's row."""
    await conn.execute(delete(backup).where(backup.c.id == backup_id))


async def look_again(conn: Connection, backup_id: int, at: datetime) -> None:
    """Have the sweep come back to a backup at `at`."""
    await conn.execute(
        update(backup).where(backup.c.id == backup_id, backup.c.look_at.is_not(None)).values(look_at=at)
    )


async def due(conn: Connection, at: datetime, *, limit: int = 100) -> list[int]:
    """Return the backups to be looked at by `at`."""
    found = await conn.execute(
        select(backup.c.id).where(backup.c.look_at <= at).order_by(backup.c.look_at).limit(limit)
    )
    return list(found.scalars())


# the nights' side

HOUR_S, WINDOW_S, DAY_S = 3 * 3600, 3 * 3600, 86400  # from 03:00 UTC, spread over three hours
SPREAD = 7919  # a prime: neighbours' servers begin far from each other


async def nightly(conn: Connection, at: datetime, limit: int) -> list[Record]:
    """Return servers to be backed up since their own moment of the last night; locked, each to one worker."""
    offset = HOUR_S + (server.c.id * SPREAD) % WINDOW_S
    nights = func.floor((at.timestamp() - offset) / DAY_S)
    moment = func.to_timestamp(nights * DAY_S + offset)
    had = exists().where(
        backup.c.server_id == server.c.id,
        or_(
            and_(backup.c.backup_type == "automatic", backup.c.created_at >= moment),
            and_(backup.c.status == "in_progress", backup.c.wanted == "present"),
        ),
    )
    found = await conn.execute(
        select(server.c.id, server.c.uuid, server.c.name, server.c.account_id)
        .where(
            server.c.backups_enabled,
            server.c.wanted != "absent",
            server.c.status.in_(("active", "stopped")),
            server.c.ready_at < moment,
            ~had,
        )
        .order_by(server.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(found)


async def past_their_term(conn: Connection, at: datetime, limit: int) -> list[int]:
    """Return automatic backups whose term is over; a live server's last good one isn't among them."""
    newer = backup.alias()
    replaced = exists().where(
        newer.c.server_id == backup.c.server_id,
        newer.c.id > backup.c.id,
        newer.c.status == "completed",
        newer.c.wanted == "present",
    )
    lives = exists().where(server.c.id == backup.c.server_id, server.c.wanted != "absent")
    found = await conn.execute(
        select(backup.c.id)
        .where(
            backup.c.backup_type == "automatic",
            backup.c.wanted == "present",
            backup.c.status != "in_progress",
            backup.c.expires_at <= at,
            or_(replaced, ~lives, backup.c.status == "failed"),
        )
        .limit(limit)
    )
    return list(found.scalars())
