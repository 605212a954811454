"""The SQL of plans."""

from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, literal, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as pg_insert

from openvps.core.db import Connection, Record
from openvps.schema import cell, location, plan, server

# A cell has room for a plan: its size fits into what is left, its CPUs onto one host, its kind is offered.
_FITS = and_(
    cell.c.paused_at.is_(None),
    cell.c.used_vcpus + plan.c.vcpus <= cell.c.room_vcpus,
    cell.c.used_memory_mib + plan.c.memory_mib <= cell.c.room_memory_mib,
    cell.c.used_storage_gb + plan.c.storage_gb <= cell.c.room_storage_gb,
    plan.c.vcpus <= cell.c.largest_vcpus,
    (plan.c.kind == "container") | cell.c.offers_vm,
)

_LOCATIONS = (
    select(func.array_agg(aggregate_order_by(location.c.code.distinct(), location.c.code)))
    .select_from(location.join(cell, cell.c.location_id == location.c.id))
    .where(location.c.is_active, location.c.paused_at.is_(None), _FITS)
    .correlate(plan)
    .scalar_subquery()
)

_SHOWN = (
    plan.c.id,
    plan.c.uuid,
    plan.c.name,
    plan.c.slug,
    plan.c.kind,
    plan.c.vcpus,
    plan.c.memory_mib,
    plan.c.storage_gb,
    plan.c.bandwidth_gb,
    plan.c.price_monthly_micro,
    plan.c.description,
    func.coalesce(_LOCATIONS, []).label("locations"),
)


async def plans(conn: Connection) -> list[Record]:
    """Return every plan on offer, with the codes of the locations that have room for it."""
    return list(await conn.execute(select(*_SHOWN).where(plan.c.retired_at.is_(None)).order_by(plan.c.id)))


async def plan_shown(conn: Connection, reference: int | UUID) -> Record | None:
    """Return one plan, a retired one too."""
    key = plan.c.uuid if isinstance(reference, UUID) else plan.c.id
    return (await conn.execute(select(*_SHOWN).where(key == reference))).one_or_none()


async def offered(conn: Connection, reference: int | UUID) -> Record | None:
    """Return the sizes and the price of a plan that servers may have."""
    key = plan.c.uuid if isinstance(reference, UUID) else plan.c.id
    return (
        await conn.execute(
            select(
                plan.c.id,
                plan.c.name,
                plan.c.kind,
                plan.c.vcpus,
                plan.c.memory_mib,
                plan.c.storage_gb,
                plan.c.bandwidth_gb,
                plan.c.price_monthly_micro,
            ).where(key == reference, plan.c.retired_at.is_(None))
        )
    ).one_or_none()


_SERVERS = (
    select(func.count())
    .select_from(server)
    .where(server.c.plan_id == plan.c.id, server.c.wanted != "absent")
    .correlate(plan)
    .scalar_subquery()
    .label("servers")
)


async def sold(conn: Connection) -> list[Record]:
    """Return every plan with how many servers have it, retired ones too."""
    return list(await conn.execute(select(plan, _SERVERS).order_by(plan.c.id)))


async def one_sold(conn: Connection, reference: int | UUID) -> Record | None:
    """Return one plan with how many servers have it, a retired one too."""
    key = plan.c.uuid if isinstance(reference, UUID) else plan.c.id
    return (await conn.execute(select(plan, _SERVERS).where(key == reference))).one_or_none()


async def add(conn: Connection, values: dict[str, Any]) -> Record | None:
    """Offer a plan; returns it as `one_sold` does, or None: there is one with this slug."""
    put = pg_insert(plan).values(**values).on_conflict_do_nothing(index_elements=["slug"])
    return (await conn.execute(put.returning(plan, literal(0).label("servers")))).one_or_none()


async def edit(conn: Connection, plan_id: int, values: dict[str, Any]) -> Record:
    """Change a plan, for servers made from now on; returns it as `one_sold` does."""
    changed = update(plan).where(plan.c.id == plan_id).values(**values)
    return (await conn.execute(changed.returning(plan, _SERVERS))).one()


async def retire(conn: Connection, plan_id: int) -> Record:
    """Take a plan out of the offer; returns it as `one_sold` does."""
    return await edit(conn, plan_id, {"retired_at": func.coalesce(plan.c.retired_at, func.now())})


async def put(conn: Connection, rows: list[dict[str, object]]) -> None:
    """Add plans; those that are there, by id, stay as they are."""
    await conn.execute(pg_insert(plan).on_conflict_do_nothing(), rows)
    await conn.execute(select(func.setval("plan_id_seq", select(func.max(plan.c.id)).scalar_subquery())))
