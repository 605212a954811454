"""The SQL of backups. One that is wanted absent is deleted for its customer; a backup outlives its server."""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, case, delete, exists, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from openvps.compute.locations.queries import SILENT
from openvps.compute.servers.stored import OF_A_BACKUP, tag
from openvps.core.db import Connection, Record
from openvps.schema import backup, cell, image, notice, server, turn

_SHOWN = (
    backup.c.id,
    backup.c.uuid,
    backup.c.server_id,
    backup.c.server_name,
    backup.c.backup_type,
    backup.c.status,
    backup.c.error,
    backup.c.size_bytes,
    backup.c.verified_at,
    backup.c.verify_error,
    backup.c.verify_cell_id,
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
    columns = (
        server.c.id,
        server.c.uuid,
        server.c.name,
        server.c.status,
        server.c.cell_id,
        server.c.system_id,
        server.c.storage_gb,
    )
    return (await conn.execute(select(*columns).where(*where).with_for_update(key_share=True))).one_or_none()


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


async def tell(conn: Connection, account_id: int, kind: str, text: str) -> None:
    """Tell an account something."""
    await conn.execute(insert(notice).values(account_id=account_id, kind=kind, text=text))


async def borrowers(conn: Connection, backup_id: int) -> list[Record]:
    """Return the servers that are being restored from a backup, or made of it: id and cell."""
    wants = (server.c.restore_from == tag(backup_id), server.c.wanted != "absent")
    return list(await conn.execute(select(server.c.id, server.c.cell_id).where(*wants).order_by(server.c.id)))


# the worker's side


@dataclass(frozen=True)
class Row:
    """What the worker knows of a backup; `cell_id` is null once the server is gone."""

    id: int
    account_id: int
    server_id: int
    server_name: str
    cell_id: int | None
    system_id: int | None
    storage_gb: int | None
    status: str
    wanted: str
    error: str | None
    manifest: str | None
    deadline_at: datetime | None
    lent_to: list[int]
    verify_cell_id: int | None
    verify_deadline_at: datetime | None
    created_at: datetime


async def row(conn: Connection, backup_id: int) -> Row | None:
    """Return what the worker needs of a backup."""
    columns = [server.c.cell_id if one.name == "cell_id" else backup.c[one.name] for one in fields(Row)]
    joined = backup.outerjoin(server, server.c.id == backup.c.server_id)
    found = (await conn.execute(select(*columns).select_from(joined).where(backup.c.id == backup_id))).one_or_none()
    return Row(*found) if found else None


async def any_stored(conn: Connection) -> bool:
    """Whether a backup of anybody's was ever stored and still is."""
    stored = select(backup.c.id).where(backup.c.status == "completed").limit(1)
    return (await conn.execute(stored)).scalar_one_or_none() is not None


async def settle(
    conn: Connection,
    seen: Row,
    *,
    status: str,
    error: str | None = None,
) -> bool:
    """End a backup's way, unless it has ended or is wanted otherwise since `seen`."""
    values = {"status": status, "error": error, "look_at": None, "deadline_at": None}
    as_seen = (backup.c.id == seen.id, backup.c.wanted == seen.wanted, backup.c.status == seen.status)
    done = await conn.execute(update(backup).where(*as_seen).values(**values))
    return done.rowcount == 1


async def note(conn: Connection, backup_id: int, **values: Any) -> None:
    """Note something of a backup, whatever is wanted of it."""
    await conn.execute(update(backup).where(backup.c.id == backup_id).values(**values))


async def lend(conn: Connection, backup_id: int, cell_id: int) -> None:
    """Note that a cell may have an image of a backup."""
    lent = func.array_append(func.array_remove(backup.c.lent_to, cell_id), cell_id)
    await conn.execute(update(backup).where(backup.c.id == backup_id).values(lent_to=lent))


async def returned(conn: Connection, backup_id: int, cell_id: int) -> None:
    """Note that a cell has no image of a backup any more."""
    await conn.execute(
        update(backup).where(backup.c.id == backup_id).values(lent_to=func.array_remove(backup.c.lent_to, cell_id))
    )


async def rests(conn: Connection, seen: Row) -> None:
    """Note that there is nothing to do for a backup, unless something is wanted of it since `seen`."""
    restoring = exists().where(server.c.restore_from == tag(seen.id), server.c.wanted != "absent")
    await conn.execute(
        update(backup)
        .where(
            backup.c.id == seen.id,
            backup.c.wanted == seen.wanted,
            func.cardinality(backup.c.lent_to) == 0,
            backup.c.verify_cell_id.is_(None),
            ~restoring,
        )
        .values(look_at=None)
    )


async def remove(conn: Connection, backup_id: int) -> None:
    """Delete a backup's row."""
    await conn.execute(delete(backup).where(backup.c.id == backup_id))


async def look_again(conn: Connection, backup_id: int, at: datetime) -> None:
    """Have the sweep come back to a backup at `at`."""
    await conn.execute(
        update(backup).where(backup.c.id == backup_id, backup.c.look_at.is_not(None)).values(look_at=at)
    )


async def due(conn: Connection, at: datetime, *, limit: int = 100) -> list[Record]:
    """Return the backups to be looked at by `at`, with their server's cell where they are still to be made."""
    making = and_(backup.c.status == "in_progress", backup.c.wanted == "present")
    found = await conn.execute(
        select(backup.c.id, case((making, server.c.cell_id)).label("making_in"))
        .select_from(backup.outerjoin(server, server.c.id == backup.c.server_id))
        .where(backup.c.look_at <= at)
        .order_by(backup.c.look_at)
        .limit(limit)
    )
    return list(found)


# the store's side

FORGOTTEN, PRUNED = "backup_forgotten", "store_pruned"  # moments, kept as watchers' turns are


async def note_turn(conn: Connection, name: str, at: datetime) -> None:
    """Note when something was last done."""
    put = pg_insert(turn).values(name=name, taken_at=at)
    await conn.execute(put.on_conflict_do_update(index_elements=["name"], set_={"taken_at": at}))


async def to_be_pruned(conn: Connection, at: datetime, *, at_most: timedelta, at_least: timedelta) -> bool:
    """Whether backups were forgotten since the store was last pruned, or that is long ago; not too soon after it."""
    found = await conn.execute(select(turn.c.name, turn.c.taken_at).where(turn.c.name.in_((FORGOTTEN, PRUNED))))
    last = {one.name: one.taken_at for one in found}
    forgotten, pruned = last.get(FORGOTTEN), last.get(PRUNED)
    if pruned is None:
        return forgotten is not None or await any_stored(conn)
    if pruned > at:  # the clock was set back
        return True
    is_due = pruned < at - at_least or (forgotten is not None and forgotten >= pruned)
    return is_due and pruned <= at - at_most


# the proof's side


async def place(conn: Connection, backup_id: int) -> int | None:
    """Return the cell to prove a backup in: its server's, else the roomiest that answers; None: there is none."""
    own = exists().where(backup.c.id == backup_id, server.c.id == backup.c.server_id, server.c.cell_id == cell.c.id)
    built = exists().where(image.c.cell_id == cell.c.id)
    found = await conn.execute(
        select(cell.c.id)
        .where(~SILENT, built)
        .order_by(case((own, 0), else_=1), (cell.c.room_memory_mib - cell.c.used_memory_mib).desc(), cell.c.id)
        .limit(1)
    )
    return found.scalar_one_or_none()


async def begin_proof(conn: Connection, backup_id: int, cell_id: int, *, at: datetime, deadline_at: datetime) -> bool:
    """Want a backup proved in a cell; False if it is being already, or isn't stored."""
    done = await conn.execute(
        update(backup)
        .where(
            backup.c.id == backup_id,
            backup.c.status == "completed",
            backup.c.wanted == "present",
            backup.c.verify_cell_id.is_(None),
        )
        .values(verify_cell_id=cell_id, verify_deadline_at=deadline_at, look_at=at)
    )
    return done.rowcount == 1


async def to_be_proved(conn: Connection, *, since: datetime, until: datetime) -> Record | None:
    """Return the newest backup that is older than `until` and wasn't tried since `since`, of a cell with none on.

    A deleted server's are proved in any cell; while another one is they wait, too.
    """
    other = backup.alias()
    busy = exists().where(
        other.c.verify_cell_id.is_not(None),
        or_(other.c.verify_cell_id == server.c.cell_id, server.c.cell_id.is_(None)),
    )
    found = await conn.execute(
        select(backup.c.id, backup.c.account_id)
        .select_from(backup.outerjoin(server, server.c.id == backup.c.server_id))
        .where(
            backup.c.status == "completed",
            backup.c.wanted == "present",
            backup.c.created_at < until,
            func.coalesce(func.greatest(backup.c.verified_at, backup.c.verify_failed_at), since) <= since,
            ~busy,
        )
        .order_by(backup.c.id.desc())
        .limit(1)
        .with_for_update(of=backup, key_share=True, skip_locked=True)
    )
    return found.one_or_none()


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
        select(
            server.c.id,
            server.c.uuid,
            server.c.name,
            server.c.account_id,
            server.c.cell_id,
            server.c.system_id,
            server.c.storage_gb,
        )
        .where(
            server.c.backups_enabled,
            server.c.wanted != "absent",
            server.c.status.in_(("active", "stopped")),
            server.c.ready_at < moment,
            ~had,
        )
        .order_by(server.c.account_id, server.c.id)  # as accounts' events are numbered
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True)
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
    restoring = exists().where(server.c.restore_from == func.concat(OF_A_BACKUP, backup.c.id))
    found = await conn.execute(
        select(backup.c.id)
        .where(
            backup.c.backup_type == "automatic",
            backup.c.wanted == "present",
            backup.c.status != "in_progress",
            backup.c.expires_at <= at,
            or_(replaced, ~lives, backup.c.status == "failed"),
            ~restoring,
        )
        .limit(limit)
    )
    return list(found.scalars())
