"""The SQL of servers. A server that is wanted absent is deleted for its customer: no query of theirs sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as pg_insert

from openvps.accounts.quotas import Use
from openvps.accounts.standing import SUSPENDED
from openvps.compute.locations.queries import SILENT
from openvps.compute.servers.states import SETTLED, TRANSITIONS, Transition
from openvps.core.clock import SET_BACK
from openvps.core.db import Connection, Record
from openvps.schema import (
    account,
    action,
    address,
    backup,
    cell,
    image,
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

_ABSENT: ColumnElement[str] = literal_column(
    "'absent'"
)  # no parameter: the planner must know that the partial indexes hold


def of_account(account_id: int | ColumnElement[int]) -> Any:
    """Return the condition of an account's servers, those that are being deleted left out."""
    return and_(server.c.account_id == account_id, server.c.wanted != _ABSENT)


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


async def restore_begins(conn: Connection, server_id: int, version: int, *, begins: bool = True) -> None:
    """Note that the engine is told to restore from now on, or not yet, unless the server was sent elsewhere since."""
    here = (server.c.id == server_id, server.c.version == version)
    await conn.execute(update(server).where(*here).values(restore_begun=begins))


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


async def forget_password(conn: Connection, server_id: int) -> None:
    """Want no new root password any more."""
    await conn.execute(update(server).where(server.c.id == server_id).values(password_hash=None))


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


# converge's side


@dataclass(frozen=True)
class Row:
    """What converge knows of a server: what is wanted, and what the machine is made of."""

    id: int
    version: int
    account_id: int
    hostname: str
    status: str
    wanted: str
    reboots: int
    password_resets: int
    password_hash: str | None
    restores: int
    restore_from: str | None
    restore_begun: bool
    restore_failure: str | None
    stop_told_at: datetime | None
    deadline_at: datetime | None
    attempts: int
    admitted_at: datetime | None
    vcpus: int
    memory_mib: int
    storage_gb: int
    cell_id: int
    authorized_keys: list[str]
    user_data: str | None
    ready_at: datetime | None
    image: str


async def row(conn: Connection, server_id: int) -> Row | None:
    """Return what converge needs of a server."""
    found = (
        await conn.execute(
            select(
                server.c.id,
                server.c.version,
                server.c.account_id,
                server.c.hostname,
                server.c.status,
                server.c.wanted,
                server.c.reboots,
                server.c.password_resets,
                server.c.password_hash,
                server.c.restores,
                server.c.restore_from,
                server.c.restore_begun,
                server.c.restore_failure,
                server.c.stop_told_at,
                server.c.deadline_at,
                server.c.attempts,
                server.c.admitted_at,
                server.c.vcpus,
                server.c.memory_mib,
                server.c.storage_gb,
                server.c.cell_id,
                server.c.authorized_keys,
                server.c.user_data,
                server.c.ready_at,
                image.c.fingerprint,
            )
            .join(image, image.c.id == server.c.image_id)
            .where(server.c.id == server_id)
        )
    ).one_or_none()
    return Row(*found) if found else None


async def settle(conn: Connection, seen: Row, *, status: str, at: datetime) -> bool:
    """End a server's way in `status`, unless it was sent elsewhere since `seen`."""
    done = await conn.execute(
        update(server)
        .where(server.c.id == seen.id, server.c.version == seen.version)
        .values(
            status=status,
            look_at=None,
            deadline_at=None,
            restore_from=None,
            stop_told_at=None,
            ready_at=func.coalesce(server.c.ready_at, at) if status == "active" else server.c.ready_at,
            updated_at=case((server.c.status != status, func.now()), else_=server.c.updated_at),
        )
    )
    return done.rowcount == 1


async def fail(conn: Connection, seen: Row, *, status: str, wanted: str, error: str | None, at: datetime) -> bool:
    """End a server's way badly, and have converge make the fallback true."""
    done = await conn.execute(
        update(server)
        .where(server.c.id == seen.id, server.c.version == seen.version)
        .values(
            status=status,
            wanted=wanted,
            error=error,
            look_at=at,
            deadline_at=None,
            restore_from=None,
            stop_told_at=None,
            version=server.c.version + 1,
            updated_at=func.now(),
        )
    )
    return done.rowcount == 1


async def tell_to_stop(conn: Connection, server_id: int, version: int, at: datetime) -> None:
    """Note when a server was first told to shut down on its present way."""
    here = (server.c.id == server_id, server.c.version == version, server.c.stop_told_at.is_(None))
    await conn.execute(update(server).where(*here).values(stop_told_at=at))


async def look_again(conn: Connection, server_id: int, at: datetime) -> None:
    """Have the sweep look at a server at `at`, or earlier if that was said already."""
    await conn.execute(
        update(server)
        .where(server.c.id == server_id)
        .values(look_at=func.least(func.greatest(server.c.look_at, func.now()), at))
    )


async def due(conn: Connection, at: datetime, *, limit: int = 500) -> list[int]:
    """Return the servers that converge should have looked at by `at`.

    Of a cell that is away only those whose deadline passed: nothing else can be done for them, and however many they
    are, the others' turn comes. Who waits to be made is no sign of a clock that was set back: it may be an hour.
    """
    waits = and_(server.c.status == "provisioning", server.c.admitted_at.is_(None))
    rows = await conn.execute(
        select(server.c.id)
        .join(cell, cell.c.id == server.c.cell_id)
        .where(
            (server.c.look_at <= at) | and_(server.c.look_at > at + SET_BACK, ~waits),
            cell.c.away_at.is_(None) | (server.c.deadline_at <= at),
        )
        .order_by(server.c.look_at)
        .limit(limit)
    )
    return list(rows.scalars())


async def hold(conn: Connection, server_id: int) -> bool:
    """Lock a server's row that is about to go, so that nothing names it any more; False: it is no more.

    Not at the end, when the row goes: who names it then may wait for what was locked on the way there.
    """
    return (
        await conn.execute(select(server.c.id).where(server.c.id == server_id).with_for_update())
    ).first() is not None


async def remove(conn: Connection, server_id: int) -> None:
    """Delete a server's row, and with it those of its snapshots: each before its actions, as all do."""
    snapshots = delete(snapshot).where(snapshot.c.server_id == server_id).returning(snapshot.c.id)
    gone = list((await conn.execute(snapshots)).scalars())
    await conn.execute(
        update(action)
        .where(action.c.subject_id.in_(gone), action.c.kind.startswith("snapshot."), action.c.finished_at.is_(None))
        .values(status="cancelled", error="The server was deleted.", finished_at=func.now())
    )
    await conn.execute(delete(server).where(server.c.id == server_id))


async def room_of_snapshots(conn: Connection, server_id: int) -> int:
    """Return the room that a server's snapshots take in its cell, in GB; locks them, before the cell is."""
    taken = select(snapshot.c.storage_gb).where(snapshot.c.server_id == server_id).order_by(snapshot.c.id)
    return sum((await conn.execute(taken.with_for_update(key_share=True))).scalars())


# the watchers' side

_RESTING = {"suspend": server.c.status.in_(("active", "stopped")), "unsuspend": server.c.status == "suspended"}
_STANDING = {"suspend": SUSPENDED, "unsuspend": ~SUSPENDED}


def _follows(kind: str) -> Any:
    return and_(_RESTING[kind], server.c.wanted != _ABSENT, account.c.id == server.c.account_id, _STANDING[kind])


async def misplaced(conn: Connection, kind: str, limit: int) -> list[Record]:
    """Return servers that their account's standing calls to `suspend`, or to `unsuspend`."""
    columns = (server.c.id, server.c.account_id)
    return list(await conn.execute(select(*columns).select_from(server, account).where(_follows(kind)).limit(limit)))


async def follow_standing(conn: Connection, kind: str, server_id: int, at: datetime) -> bool:
    """Suspend or unsuspend a server, if its account's standing still says so; one that was stopped stays so."""
    way = TRANSITIONS[kind]
    starts = server.c.wanted == "running"
    back = {
        "status": case((starts, way.meanwhile), else_="stopped"),
        "deadline_at": case((starts, at + timedelta(seconds=way.deadline_s or 0)), else_=None),
    }
    values: dict[str, Any] = {"status": way.meanwhile, "deadline_at": None} if kind == "suspend" else back
    done = await conn.execute(
        update(server)
        .where(server.c.id == server_id, _follows(kind))
        .values(**values, look_at=at, stop_told_at=None, version=server.c.version + 1, updated_at=func.now())
    )
    return done.rowcount == 1


def _ended(at: Any) -> Any:
    return and_(
        server.c.status.in_(TRANSITIONS["delete"].allowed),
        server.c.wanted != _ABSENT,
        account.c.id == server.c.account_id,
        account.c.servers_end_at <= at,
        account.c.unpaid_at.is_not(None),
    )


async def past_their_end(conn: Connection, limit: int) -> list[Record]:
    """Return servers whose account was told that they'd be deleted by now for want of credit."""
    columns = (server.c.id, server.c.account_id)
    return list(
        await conn.execute(select(*columns).select_from(server, account).where(_ended(func.now())).limit(limit))
    )


async def end_unpaid(conn: Connection, server_id: int, at: datetime) -> bool:
    """Want a server absent if its account's term is over."""
    way = TRANSITIONS["delete"]
    values = {"status": way.meanwhile, "wanted": way.wanted, "deadline_at": None, "look_at": at, "error": None}
    done = await conn.execute(
        update(server)
        .where(server.c.id == server_id, _ended(at))
        .values(**values, version=server.c.version + 1, updated_at=func.now())
    )
    return done.rowcount == 1


async def settled_in_cell(conn: Connection, cell_id: int) -> dict[int, str]:
    """Return the status of every server of a cell that nobody is moving."""
    rows = await conn.execute(
        select(server.c.id, server.c.status).where(
            server.c.cell_id == cell_id, server.c.status.in_(SETTLED), server.c.look_at.is_(None)
        )
    )
    return {row[0]: row[1] for row in rows}


async def settled_status(conn: Connection, server_id: int) -> str | None:
    """Return a server's status if nobody is moving it."""
    return (
        await conn.execute(
            select(server.c.status).where(
                server.c.id == server_id, server.c.status.in_(SETTLED), server.c.look_at.is_(None)
            )
        )
    ).scalar_one_or_none()


async def powered_off(conn: Connection, server_id: int) -> int | None:
    """Take note that an active server was shut down from inside; returns its account's id."""
    return (
        await conn.execute(
            update(server)
            .where(server.c.id == server_id, server.c.status == "active", server.c.look_at.is_(None))
            .values(status="stopped", wanted="stopped", version=server.c.version + 1, updated_at=func.now())
            .returning(server.c.account_id)
        )
    ).scalar_one_or_none()


async def drifted(conn: Connection, server_id: int, at: datetime) -> bool:
    """Have converge look at a settled server whose machine is not as wanted."""
    done = await conn.execute(
        update(server)
        .where(server.c.id == server_id, server.c.status.in_(SETTLED), server.c.look_at.is_(None))
        .values(look_at=at, version=server.c.version + 1)
    )
    return done.rowcount == 1


async def counters(conn: Connection, cell_id: int) -> dict[int, Record]:
    """Return the last sample of each server of a cell, and its vCPUs; null before the first."""
    rows = await conn.execute(
        select(
            server.c.id,
            server.c.vcpus,
            usage.c.sampled_at,
            usage.c.cpu_seconds,
            usage.c.received_bytes,
            usage.c.sent_bytes,
            usage.c.month,
            usage.c.month_received_bytes,
            usage.c.month_sent_bytes,
            usage.c.disk_used_bytes,
        )
        .outerjoin(usage, usage.c.server_id == server.c.id)
        .where(server.c.cell_id == cell_id, server.c.ready_at.is_not(None), server.c.wanted != _ABSENT)
    )
    return {row.id: row for row in rows}


async def one_reading(conn: Connection, cell_id: int) -> None:
    """Have one reading of a cell counted at a time, until the transaction ends; nobody else waits for that."""
    await conn.execute(select(func.pg_advisory_xact_lock(func.hashtext("reading"), cell_id)))


async def keep_samples(conn: Connection, rows: list[dict[str, Any]]) -> None:
    """Write the latest sample of many servers, in one statement; of one that went meanwhile there is none."""
    if not rows:
        return
    arrays = [
        func.unnest(literal([row[one.name] for row in rows], ARRAY(one.type))).label(one.name) for one in usage.c
    ]
    told = select(*arrays).subquery()
    there = (
        select(*told.c)
        .join(server, server.c.id == told.c.server_id)
        .order_by(told.c.server_id)
        .with_for_update(read=True, key_share=True, of=server)
    )
    put = pg_insert(usage).from_select([one.name for one in usage.c], there)
    columns = {column.name: column for column in put.excluded if column.name != "server_id"}
    await conn.execute(put.on_conflict_do_update(index_elements=["server_id"], set_=columns))
