"""The SQL of snapshots. One that is wanted absent is deleted for its customer: no query of theirs sees it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update

from openvps.compute.locations import queries as locations
from openvps.compute.locations.queries import Size
from openvps.core.clock import SET_BACK
from openvps.core.db import Connection, Record
from openvps.schema import cell, server, snapshot

_SHOWN = (
    snapshot.c.id,
    snapshot.c.uuid,
    snapshot.c.server_id,
    server.c.name.label("server_name"),
    snapshot.c.name,
    snapshot.c.description,
    snapshot.c.status,
    snapshot.c.error,
    snapshot.c.size_bytes,
    snapshot.c.created_at,
)
_WITH_SERVER = snapshot.join(server, server.c.id == snapshot.c.server_id)


def _of(account_id: int) -> tuple[Any, ...]:
    return snapshot.c.account_id == account_id, snapshot.c.wanted == "present", server.c.wanted != "absent"


def _key(reference: int | UUID, table: Any) -> Any:
    return (table.c.uuid if isinstance(reference, UUID) else table.c.id) == reference


async def page(
    conn: Connection, account_id: int, of_server: int | UUID | None, *, offset: int, limit: int
) -> tuple[int, list[Record]]:
    """Return how many snapshots the account has, of one server or all, and some of them, newest first."""
    where = [*_of(account_id), *([] if of_server is None else [_key(of_server, server)])]
    count = (await conn.execute(select(func.count()).select_from(_WITH_SERVER).where(*where))).scalar_one()
    listed = select(*_SHOWN).select_from(_WITH_SERVER).where(*where).order_by(snapshot.c.id.desc())
    return count, list(await conn.execute(listed.offset(offset).limit(limit)))


async def shown(conn: Connection, account_id: int, reference: int | UUID) -> Record | None:
    """Return one of the account's snapshots."""
    where = (*_of(account_id), _key(reference, snapshot))
    return (await conn.execute(select(*_SHOWN).select_from(_WITH_SERVER).where(*where))).one_or_none()


async def server_of(conn: Connection, account_id: int, reference: int | UUID) -> Record | None:
    """Return one of the account's servers, locked: so that its snapshots can be counted, or not be restored from."""
    columns = (
        server.c.id,
        server.c.name,
        server.c.status,
        server.c.restore_from,
        server.c.cell_id,
        server.c.storage_gb,
    )
    where = (server.c.account_id == account_id, server.c.wanted != "absent", _key(reference, server))
    return (await conn.execute(select(*columns).where(*where).with_for_update(key_share=True))).one_or_none()


async def count(conn: Connection, server_id: int) -> int:
    """Return how many snapshots a server has or is getting; one that failed takes no place."""
    where = (snapshot.c.server_id == server_id, snapshot.c.wanted == "present", snapshot.c.status != "failed")
    return (await conn.execute(select(func.count()).select_from(snapshot).where(*where))).scalar_one()


async def add(conn: Connection, **values: Any) -> int:
    """Want one more snapshot; returns its id."""
    return (await conn.execute(insert(snapshot).values(**values).returning(snapshot.c.id))).scalar_one()


async def want_absent(conn: Connection, snapshot_id: int, at: datetime) -> None:
    """Want a snapshot gone."""
    values = {"wanted": "absent", "look_at": at, "deadline_at": None}
    await conn.execute(update(snapshot).where(snapshot.c.id == snapshot_id).values(**values))


# the worker's side


@dataclass(frozen=True)
class Row:
    """What the worker knows of a snapshot."""

    id: int
    server_id: int
    cell_id: int
    status: str
    wanted: str
    deadline_at: datetime | None


async def row(conn: Connection, snapshot_id: int) -> Row | None:
    """Return what the worker needs of a snapshot."""
    columns = (snapshot.c.id, snapshot.c.server_id, server.c.cell_id)
    rest = (snapshot.c.status, snapshot.c.wanted, snapshot.c.deadline_at)
    found = await conn.execute(select(*columns, *rest).select_from(_WITH_SERVER).where(snapshot.c.id == snapshot_id))
    one = found.one_or_none()
    return Row(*one) if one else None


async def settle(
    conn: Connection, seen: Row, *, status: str, size_bytes: int | None = None, error: str | None = None
) -> bool:
    """End a snapshot's way, unless it is wanted otherwise since `seen`."""
    values = {"status": status, "size_bytes": size_bytes, "error": error, "look_at": None, "deadline_at": None}
    done = await conn.execute(
        update(snapshot).where(snapshot.c.id == seen.id, snapshot.c.wanted == seen.wanted).values(**values)
    )
    return done.rowcount == 1


async def remove(conn: Connection, seen: Row) -> None:
    """Delete a snapshot's row, and give back the room that it took."""
    taken = delete(snapshot).where(snapshot.c.id == seen.id).returning(snapshot.c.storage_gb)
    await _give_back(conn, seen, (await conn.execute(taken)).scalar_one_or_none())


async def give_up(conn: Connection, seen: Row) -> None:
    """Give back the room of a snapshot that isn't there."""
    before = (
        select(snapshot.c.id, snapshot.c.storage_gb)
        .where(snapshot.c.id == seen.id)
        .with_for_update(key_share=True)
        .cte()
    )
    taken = update(snapshot).where(snapshot.c.id == before.c.id).values(storage_gb=0).returning(before.c.storage_gb)
    await _give_back(conn, seen, (await conn.execute(taken)).scalar_one_or_none())


async def _give_back(conn: Connection, seen: Row, storage_gb: int | None) -> None:
    if storage_gb:
        await locations.give_back(conn, seen.cell_id, Size(0, 0, storage_gb))


async def look_again(conn: Connection, snapshot_id: int, at: datetime) -> None:
    """Have the sweep come back to a snapshot at `at`."""
    await conn.execute(
        update(snapshot).where(snapshot.c.id == snapshot_id, snapshot.c.look_at.is_not(None)).values(look_at=at)
    )


async def due(conn: Connection, at: datetime, *, limit: int = 500) -> list[Record]:
    """Return the snapshots to be looked at by `at`, with their servers; of a cell that is away, those past due."""
    found = await conn.execute(
        select(snapshot.c.id, snapshot.c.server_id)
        .select_from(_WITH_SERVER.join(cell, cell.c.id == server.c.cell_id))
        .where(
            (snapshot.c.look_at <= at) | (snapshot.c.look_at > at + SET_BACK),
            cell.c.away_at.is_(None) | (snapshot.c.deadline_at <= at),
        )
        .order_by(snapshot.c.look_at)
        .limit(limit)
    )
    return list(found)
