"""The SQL of locations and cells, and of the room in them.

Room is reserved by one UPDATE that only matches where there is enough: no lock is taken before, none is forgotten.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from openvps.core.db import Connection, Record
from openvps.schema import address_pool, cell, location, server

SEEN_WITHIN = timedelta(minutes=2)  # a cell that answered since then is only away for a moment

# Nothing is known of its servers now: it was asked and didn't answer, or nobody asks.
SILENT = or_(cell.c.away_at.is_not(None), cell.c.seen_at < func.now() - SEEN_WITHIN)

_SHOWN = (
    location.c.id,
    location.c.uuid,
    location.c.code,
    location.c.name,
    location.c.country_name,
    location.c.country_code,
    and_(location.c.is_active, location.c.paused_at.is_(None)).label("is_active"),
)


async def locations(conn: Connection) -> list[Record]:
    """Return every location."""
    return list(await conn.execute(select(*_SHOWN).order_by(location.c.id)))


async def location_shown(conn: Connection, reference: int | UUID) -> Record | None:
    """Return one location."""
    key = location.c.uuid if isinstance(reference, UUID) else location.c.id
    return (await conn.execute(select(*_SHOWN).where(key == reference))).one_or_none()


async def active(conn: Connection, place: str | int) -> Record | None:
    """Return id and code of an active location, named by either."""
    key = location.c.code if isinstance(place, str) else location.c.id
    return (
        await conn.execute(select(location.c.id, location.c.code).where(key == place, location.c.is_active))
    ).one_or_none()


async def put_location(conn: Connection, **values: Any) -> int:
    """Add or rename a location, by its code; returns its id."""
    return (
        await conn.execute(
            pg_insert(location)
            .values(**values)
            .on_conflict_do_update(index_elements=["code"], set_=values)
            .returning(location.c.id)
        )
    ).scalar_one()


async def cells(conn: Connection) -> list[Record]:
    """Return every cell."""
    return list(await conn.execute(select(cell).order_by(cell.c.id)))


async def cell_row(conn: Connection, cell_id: int) -> Record:
    """Return one cell."""
    return (await conn.execute(select(cell).where(cell.c.id == cell_id))).one()


async def put_cell(conn: Connection, **values: Any) -> int:
    """Add or bring up to date a cell, by its name; returns its id."""
    return (
        await conn.execute(
            pg_insert(cell)
            .values(**values)
            .on_conflict_do_update(index_elements=["name"], set_=values)
            .returning(cell.c.id)
        )
    ).scalar_one()


async def cells_shown(conn: Connection) -> list[Record]:
    """Return every cell with its location's code, its networks and how many servers it has."""
    networks = select(func.array_agg(address_pool.c.network)).where(address_pool.c.cell_id == cell.c.id)
    servers = select(func.count()).select_from(server).where(server.c.cell_id == cell.c.id)
    columns = (
        cell,
        location.c.code.label("location"),
        func.coalesce(networks.scalar_subquery(), []).label("networks"),
        servers.scalar_subquery().label("servers"),
    )
    query = select(*columns).join(location, location.c.id == cell.c.location_id).order_by(cell.c.id)
    return list(await conn.execute(query))


async def cell_named(conn: Connection, name: str) -> Record | None:
    """Return one cell."""
    return (await conn.execute(select(cell).where(cell.c.name == name))).one_or_none()


async def remove_cell(conn: Connection, cell_id: int) -> None:
    """Delete a cell's row, with its images' and addresses' rows; one that has servers can't be."""
    await conn.execute(delete(cell).where(cell.c.id == cell_id))


async def seen(conn: Connection, cell_id: int) -> None:
    """Note that a cell answered now."""
    await conn.execute(
        update(cell).where(cell.c.id == cell_id).values(seen_at=func.now(), away_at=None, away_reason=None)
    )


async def away(conn: Connection, cell_id: int, reason: str) -> None:
    """Note that a cell didn't answer, and since when."""
    since = func.coalesce(cell.c.away_at, func.now())
    await conn.execute(update(cell).where(cell.c.id == cell_id).values(away_at=since, away_reason=reason))


async def candidates(conn: Connection, location_id: int, plan: Record) -> list[Record]:
    """Return the location's cells that offer the plan's kind and CPUs: those that answer first, then the roomiest."""
    return list(
        await conn.execute(
            select(
                cell.c.id,
                cell.c.seen_at,
                or_(cell.c.paused_at.is_not(None), location.c.paused_at.is_not(None)).label("paused"),
            )
            .join(location, location.c.id == cell.c.location_id)
            .where(
                cell.c.location_id == location_id,
                plan.vcpus <= cell.c.largest_vcpus,
                or_(plan.kind == "container", cell.c.offers_vm),
            )
            .order_by(SILENT, (cell.c.room_memory_mib - cell.c.used_memory_mib).desc(), cell.c.id)
        )
    )


@dataclass(frozen=True)
class Size:
    """What a server takes of its cell's room."""

    vcpus: int
    memory_mib: int
    storage_gb: int

    def beyond(self, other: "Size") -> "Size":
        """Return what of this doesn't fit into `other`."""
        return Size(
            max(0, self.vcpus - other.vcpus),
            max(0, self.memory_mib - other.memory_mib),
            max(0, self.storage_gb - other.storage_gb),
        )


async def reserve(conn: Connection, cell_id: int, size: Size, *, seen_since: datetime) -> bool:
    """Take a size out of a cell's room; False if there isn't enough or the cell wasn't seen lately."""
    done = await conn.execute(
        update(cell)
        .where(
            cell.c.id == cell_id,
            cell.c.seen_at >= seen_since,
            *(
                used + wanted <= room
                for used, wanted, room in (
                    (cell.c.used_vcpus, size.vcpus, cell.c.room_vcpus),
                    (cell.c.used_memory_mib, size.memory_mib, cell.c.room_memory_mib),
                    (cell.c.used_storage_gb, size.storage_gb, cell.c.room_storage_gb),
                )
                if wanted  # asking for none of what there is too little of is no harm
            ),
        )
        .values(
            used_vcpus=cell.c.used_vcpus + size.vcpus,
            used_memory_mib=cell.c.used_memory_mib + size.memory_mib,
            used_storage_gb=cell.c.used_storage_gb + size.storage_gb,
        )
    )
    return done.rowcount == 1


async def give_back(conn: Connection, cell_id: int, size: Size) -> None:
    """Return a size to its cell's room."""
    await conn.execute(
        update(cell)
        .where(cell.c.id == cell_id)
        .values(
            used_vcpus=cell.c.used_vcpus - size.vcpus,
            used_memory_mib=cell.c.used_memory_mib - size.memory_mib,
            used_storage_gb=cell.c.used_storage_gb - size.storage_gb,
        )
    )


# the operator's side


async def pause(conn: Connection, place: str, number: int, reason: str) -> bool:
    """Have no new servers made in a `cell` or `location`; paused already keeps its time. False: there is none."""
    table = {"cell": cell, "location": location}[place]
    since = func.coalesce(table.c.paused_at, func.now())
    done = await conn.execute(update(table).where(table.c.id == number).values(paused_at=since, paused_reason=reason))
    return done.rowcount == 1


async def resume(conn: Connection, place: str, number: int) -> bool:
    """Have new servers made again in a `cell` or `location`; False: there is none."""
    table = {"cell": cell, "location": location}[place]
    done = await conn.execute(update(table).where(table.c.id == number).values(paused_at=None, paused_reason=""))
    return done.rowcount == 1


async def limit_creates(conn: Connection, cell_id: int, creates_at_once: int | None) -> None:
    """Have at most so many servers made in a cell at once; None: as many as the setting says."""
    await conn.execute(update(cell).where(cell.c.id == cell_id).values(creates_at_once=creates_at_once))


async def pauses(conn: Connection) -> list[Record]:
    """Return every location with its pause."""
    columns = (location.c.id, location.c.code, location.c.name, location.c.paused_at, location.c.paused_reason)
    return list(await conn.execute(select(*columns).order_by(location.c.id)))


async def location_coded(conn: Connection, code: str) -> int | None:
    """Return the id of a location, named by its code."""
    return (await conn.execute(select(location.c.id).where(location.c.code == code))).scalar_one_or_none()
