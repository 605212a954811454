"""The SQL of servers. A server that is wanted absent is deleted for its customer: no query of theirs sees it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from openvps.accounts.quotas import Use
from openvps.compute.locations.queries import SILENT
from openvps.compute.servers.states import Transition
from openvps.core.db import Connection, Record
from openvps.schema import (
    action,
    address,
    backup,
    cell,
    location,
    plan,
    server,
    snapshot,
    system,
    usage,
)

_ADDRESSES = (
    select(func.array_agg(aggregate_order_by(func.host(address.c.ip), address.c.family, address.c.ip)))
    .where(address.c.server_id == server.c.id)
    .correlate(server)
    .scalar_subquery()
)

SHOWN: Select[*tuple[Any, ...]] = (
    select(
        server.c.id,
        server.c.uuid,
        server.c.name,
        server.c.hostname,
        server.c.status,
        server.c.error,
        server.c.backups_enabled,
        server.c.tags,
        server.c.ready_at,
        server.c.created_at,
        server.c.updated_at,
        server.c.vcpus,
        server.c.memory_mib,
        server.c.storage_gb,
        plan.c.id.label("plan_id"),
        plan.c.name.label("plan_name"),
        plan.c.bandwidth_gb,
        system.c.id.label("system_id"),
        system.c.name.label("system_name"),
        location.c.code.label("location"),
        location.c.name.label("location_name"),
        SILENT.label("unreachable"),
        func.coalesce(_ADDRESSES, []).label("addresses"),
        usage.c.cpu_percent,
        usage.c.memory_used_bytes,
        usage.c.disk_used_bytes,
        usage.c.month,
        func.greatest(usage.c.month_received_bytes, usage.c.month_sent_bytes).label("month_bytes"),
    )
    .join(plan, plan.c.id == server.c.plan_id)
    .join(system, system.c.id == server.c.system_id)
    .join(location, location.c.id == server.c.location_id)
    .join(cell, cell.c.id == server.c.cell_id)
    .outerjoin(usage, usage.c.server_id == server.c.id)
)

THE_IMAGE = "image"  # what a rebuild is restored from; snapshots' names are others

ABSENT: ColumnElement[str] = literal_column(
    "'absent'"
)  # no parameter: the planner must know that the partial indexes hold


def of_account(account_id: int | ColumnElement[int]) -> Any:
    """Return the condition of an account's servers, those that are being deleted left out."""
    return and_(server.c.account_id == account_id, server.c.wanted != ABSENT)


def _named(account_id: int, reference: int | UUID) -> Any:
    key = server.c.uuid if isinstance(reference, UUID) else server.c.id
    return and_(of_account(account_id), key == reference)


_MINE = of_account(bindparam("account"))

# Made once: to build a statement costs more than to run it.
_ONE_BY_ID = SHOWN.where(_MINE, server.c.id == bindparam("reference"))

_ONE_BY_UUID = SHOWN.where(_MINE, server.c.uuid == bindparam("reference"))


async def shown(conn: Connection, account_id: int, reference: int | UUID) -> Record | None:
    """Return one server as the API shows it."""
    named = _ONE_BY_UUID if isinstance(reference, UUID) else _ONE_BY_ID
    return (await conn.execute(named, {"account": account_id, "reference": reference})).one_or_none()


async def use_of_account(conn: Connection, account_id: int) -> Use:
    """Return what the account has of what quotas limit."""
    creates = (
        select(func.count())
        .select_from(action)
        .where(
            action.c.account_id == account_id,
            action.c.kind == "server.create",
            action.c.created_at > func.now() - timedelta(hours=1),
        )
    )
    columns = (func.count(), func.coalesce(func.sum(server.c.vcpus), 0), creates.scalar_subquery())
    return Use(*(await conn.execute(select(*columns).select_from(server).where(of_account(account_id)))).one())


async def add(conn: Connection, **values: Any) -> int:
    """Make a server's row; returns its id."""
    return (await conn.execute(insert(server).values(**values).returning(server.c.id))).scalar_one()


async def begin(
    conn: Connection, account_id: int, reference: int | UUID, to: Transition, at: datetime
) -> Record | None:
    """Put a server on its way if its status allows it: the compare-and-set that enforces TRANSITIONS."""
    return (
        await conn.execute(
            update(server)
            .where(_named(account_id, reference), server.c.status.in_(to.allowed))
            .values(
                status=to.meanwhile,
                wanted=to.wanted or server.c.wanted,
                deadline_at=at + timedelta(seconds=to.deadline_s) if to.deadline_s else None,
                look_at=at,
                error=None,
                stop_told_at=None,
                version=server.c.version + 1,
                updated_at=func.now(),
            )
            .returning(server.c.id, server.c.name, server.c.status)
        )
    ).one_or_none()


async def promised(conn: Connection, account_id: int, reference: int | UUID) -> Record | None:
    """Return what one server was promised, and where it is; locked against others who'd change it."""
    return (
        await conn.execute(
            select(
                server.c.id,
                server.c.status,
                server.c.cell_id,
                server.c.location_id,
                server.c.plan_id,
                server.c.vcpus,
                server.c.memory_mib,
                server.c.storage_gb,
                server.c.price_monthly_micro,
                plan.c.kind,
            )
            .join(plan, plan.c.id == server.c.plan_id)
            .where(_named(account_id, reference))
            .with_for_update(of=server, key_share=True)
        )
    ).one_or_none()


async def size(conn: Connection, server_id: int) -> Record:
    """Return a server's cell, what it takes of its room, and what it costs whom."""
    columns = (
        *(server.c.cell_id, server.c.vcpus, server.c.memory_mib, server.c.storage_gb),
        *(server.c.account_id, server.c.price_monthly_micro),
    )
    return (await conn.execute(select(*columns).where(server.c.id == server_id))).one()


async def bandwidth_gb(conn: Connection, server_id: int) -> int:
    """Return the traffic that a server's plan includes a month."""
    its = select(plan.c.bandwidth_gb).join(server, server.c.plan_id == plan.c.id).where(server.c.id == server_id)
    return (await conn.execute(its)).scalar_one()


async def promise(conn: Connection, server_id: int, values: Mapping[str, int]) -> None:
    """Promise a server another plan, size and price."""
    await conn.execute(update(server).where(server.c.id == server_id).values(**values))


async def want_reboot(conn: Connection, server_id: int) -> None:
    """Raise the generation of reboots that the server shall have had."""
    await conn.execute(update(server).where(server.c.id == server_id).values(reboots=server.c.reboots + 1))


async def want_restore(conn: Connection, server_id: int, source: str, *, deadline_at: datetime | None = None) -> None:
    """Raise the generation of restores that the server shall have had; `source`: a snapshot's name, or THE_IMAGE."""
    await conn.execute(
        update(server)
        .where(server.c.id == server_id)
        .values(
            restores=server.c.restores + 1,
            deadline_at=deadline_at or server.c.deadline_at,
            restore_from=source,
            restore_begun=False,
            restore_failure=None,
        )
    )


async def want_rebuild(conn: Connection, server_id: int, *, system_id: int, image_id: int) -> None:
    """Want a server to have a fresh disk of another image."""
    await conn.execute(update(server).where(server.c.id == server_id).values(system_id=system_id, image_id=image_id))
    await want_restore(conn, server_id, THE_IMAGE)


async def give_up_restore(conn: Connection, server_id: int, source: str, reason: str, at: datetime) -> None:
    """Have converge end a restore that can't be done, unless it was begun or isn't wanted any more."""
    await conn.execute(
        update(server)
        .where(server.c.id == server_id, server.c.restore_from == source, ~server.c.restore_begun)
        .values(restore_failure=reason, look_at=at)
    )


async def has_snapshots(conn: Connection, server_id: int) -> bool:
    """Return whether a server has snapshots, or is getting one."""
    found = select(snapshot.c.id).where(snapshot.c.server_id == server_id, snapshot.c.wanted == "present")
    return (await conn.execute(found.limit(1))).scalar_one_or_none() is not None


async def of_snapshot(conn: Connection, snapshot_id: int) -> int | None:
    """Return the server that a snapshot is of."""
    found = select(snapshot.c.server_id).where(snapshot.c.id == snapshot_id)
    return (await conn.execute(found)).scalar_one_or_none()


async def want_copy(conn: Connection, backup_id: int, at: datetime) -> None:
    """Have the worker copy a backup to the cells of the servers that are being restored from it."""
    await conn.execute(update(backup).where(backup.c.id == backup_id).values(look_at=at))


async def stored(conn: Connection, account_id: int, reference: int | UUID) -> Record | None:
    """Return one of the account's backups, locked against its deletion: what a server made of it needs to know."""
    key = backup.c.uuid if isinstance(reference, UUID) else backup.c.id
    columns = (backup.c.id, backup.c.status, backup.c.system_id, backup.c.size_bytes)
    where = (backup.c.account_id == account_id, backup.c.wanted == "present", key == reference)
    return (await conn.execute(select(*columns).where(*where).with_for_update(key_share=True))).one_or_none()


async def status_of(conn: Connection, account_id: int, reference: int | UUID) -> str | None:
    """Return one server's status."""
    return (await conn.execute(select(server.c.status).where(_named(account_id, reference)))).scalar_one_or_none()


async def want_password(conn: Connection, server_id: int, hashed: str) -> None:
    """Want a new root password, given as its hash."""
    await conn.execute(
        update(server)
        .where(server.c.id == server_id)
        .values(
            password_hash=hashed,
            password_resets=server.c.password_resets + 1,
            version=server.c.version + 1,
            look_at=func.now(),
        )
    )


async def change(conn: Connection, server_id: int, values: dict[str, Any], *, wake: bool, at: datetime) -> None:
    """Change what the customer may change of a row; `wake` has converge look at it."""
    if wake:
        values = {**values, "version": server.c.version + 1, "look_at": at}
    await conn.execute(update(server).where(server.c.id == server_id).values(**values, updated_at=func.now()))


async def failed_create(conn: Connection, account_id: int, reference: int | UUID) -> Record | None:
    """Return a server with what its create needs to be tried again; locked."""
    columns = (
        *(server.c.id, server.c.name, server.c.status, server.c.ready_at, server.c.look_at, server.c.restores),
        *(server.c.cell_id, server.c.system_id, server.c.price_monthly_micro, plan.c.bandwidth_gb),
        or_(cell.c.paused_at.is_not(None), location.c.paused_at.is_not(None)).label("paused"),
    )
    joined = (
        server.join(plan, plan.c.id == server.c.plan_id)
        .join(cell, cell.c.id == server.c.cell_id)
        .join(location, location.c.id == server.c.location_id)
    )
    found = (
        select(*columns)
        .select_from(joined)
        .where(_named(account_id, reference))
        .with_for_update(of=server, key_share=True)
    )
    return (await conn.execute(found)).one_or_none()


async def try_again(conn: Connection, server_id: int, *, image_id: int | None, until: datetime) -> None:
    """Have a server made anew when its turn comes, of a newer image if there is one."""
    await conn.execute(
        update(server)
        .where(server.c.id == server_id)
        .values(
            attempts=server.c.attempts + 1,
            admitted_at=None,
            look_at=until,
            deadline_at=until,
            image_id=image_id or server.c.image_id,
        )
    )
