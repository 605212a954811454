"""A server's row as converge sees it, which makes it true, and as those see it who wake converge: its SQL."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, delete, func, select, update

from openvps.compute.servers.states import SETTLED
from openvps.core.clock import SET_BACK
from openvps.core.db import Connection, Record
from openvps.schema import action, cell, image, server, snapshot


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


async def restore_begins(conn: Connection, server_id: int, version: int, *, begins: bool = True) -> None:
    """Note that the engine is told to restore from now on, or not yet, unless the server was sent elsewhere since."""
    here = (server.c.id == server_id, server.c.version == version)
    await conn.execute(update(server).where(*here).values(restore_begun=begins))


async def forget_password(conn: Connection, server_id: int) -> None:
    """Want no new root password any more."""
    await conn.execute(update(server).where(server.c.id == server_id).values(password_hash=None))


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


async def settled(conn: Connection, cell_id: int, server_id: int | None = None) -> dict[int, Record]:
    """Return status and version of a cell's servers, or of one, that nobody is moving."""
    found = select(server.c.id, server.c.status, server.c.version).where(
        server.c.cell_id == cell_id, server.c.status.in_(SETTLED), server.c.look_at.is_(None)
    )
    if server_id is not None:
        found = found.where(server.c.id == server_id)
    return {row.id: row for row in await conn.execute(found)}


def _still(seen: Record) -> ColumnElement[bool]:
    """Return the condition that nobody has moved a server since it was `settled`."""
    return and_(server.c.id == seen.id, server.c.version == seen.version, server.c.look_at.is_(None))


async def powered_off(conn: Connection, seen: Record) -> int | None:
    """Take note that an active server was shut down from inside; returns its account's id."""
    return (
        await conn.execute(
            update(server)
            .where(_still(seen))
            .values(status="stopped", wanted="stopped", version=server.c.version + 1, updated_at=func.now())
            .returning(server.c.account_id)
        )
    ).scalar_one_or_none()


async def drifted(conn: Connection, seen: Record, at: datetime) -> bool:
    """Have converge look at a settled server whose machine is not as wanted."""
    done = await conn.execute(update(server).where(_still(seen)).values(look_at=at, version=server.c.version + 1))
    return done.rowcount == 1
