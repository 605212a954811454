"""The SQL of operating systems and their images: new servers get the newest image, old ones keep theirs."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import exists, func, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from openvps.core.db import Connection, Record
from openvps.schema import cell, image, location, system

_HAS_IMAGE = exists().where(
    image.c.system_id == system.c.id,
    image.c.retired_at.is_(None),
    image.c.cell_id == cell.c.id,
    cell.c.location_id == location.c.id,
    location.c.is_active,
)


@dataclass(frozen=True)
class ImageRow:
    """A built image in one cell."""

    id: int
    cell: str
    system: str
    fingerprint: str
    built_at: datetime
    retired_at: datetime | None


async def systems(conn: Connection) -> list[Record]:
    """Return every version of every operating system, and whether an image of it is built anywhere."""
    return list(
        await conn.execute(
            select(
                system.c.id,
                system.c.uuid,
                system.c.family,
                system.c.family_uuid,
                system.c.version,
                system.c.name,
                system.c.slug,
                _HAS_IMAGE.label("available"),
            ).order_by(system.c.family, system.c.id)
        )
    )


async def version(conn: Connection, reference: int | UUID) -> int | None:
    """Return the id of an operating system's version, None if there is none."""
    key = system.c.uuid if isinstance(reference, UUID) else system.c.id
    return (await conn.execute(select(system.c.id).where(key == reference))).scalar_one_or_none()


async def newest_image(conn: Connection, cell_id: int, system_id: int) -> Record | None:
    """Return id and fingerprint of the image that a new server of the cell gets."""
    return (
        await conn.execute(
            select(image.c.id, image.c.fingerprint)
            .where(image.c.cell_id == cell_id, image.c.system_id == system_id, image.c.retired_at.is_(None))
            .order_by(image.c.built_at.desc(), image.c.id.desc())
            .limit(1)
        )
    ).one_or_none()


async def any_image(conn: Connection, cell_id: int, system_id: int | None) -> Record | None:
    """Return id and fingerprint of a cell's image for a machine that gets another disk: best of its own system."""
    return (
        await conn.execute(
            select(image.c.id, image.c.fingerprint)
            .where(image.c.cell_id == cell_id)
            .order_by(image.c.retired_at.is_not(None), image.c.system_id != system_id, image.c.id.desc())
            .limit(1)
        )
    ).one_or_none()


async def add_image(
    conn: Connection, *, cell_id: int, system_id: int, fingerprint: str, built_at: datetime | None = None
) -> None:
    """Offer an image, built now or, a copy, when its original was; one that was there already is offered again."""
    put = pg_insert(image).values(
        cell_id=cell_id, system_id=system_id, fingerprint=fingerprint, built_at=built_at or func.now()
    )
    await conn.execute(
        put.on_conflict_do_update(
            index_elements=["cell_id", "fingerprint"], set_={"built_at": put.excluded.built_at, "retired_at": None}
        )
    )


async def images(conn: Connection) -> list[ImageRow]:
    """Return every image, newest first, and each before its copies."""
    rows = await conn.execute(
        select(image.c.id, cell.c.name, system.c.slug, image.c.fingerprint, image.c.built_at, image.c.retired_at)
        .join(cell, cell.c.id == image.c.cell_id)
        .join(system, system.c.id == image.c.system_id)
        .order_by(image.c.built_at.desc(), image.c.id)
    )
    return [ImageRow(*row) for row in rows]


async def retire_image(conn: Connection, fingerprint: str) -> bool:
    """Offer an image no longer; False if there is none that is offered."""
    done = await conn.execute(
        update(image)
        .where(image.c.fingerprint == fingerprint, image.c.retired_at.is_(None))
        .values(retired_at=func.now())
    )
    return done.rowcount > 0


async def put(conn: Connection, rows: list[dict[str, object]]) -> None:
    """Add operating systems; those that are there stay as they are."""
    await conn.execute(pg_insert(system).on_conflict_do_nothing(), rows)
