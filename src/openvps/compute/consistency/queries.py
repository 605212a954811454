"""The SQL of consistency: what rows there are to compare a cell with, and rows that contradict each other.

Each of the latter is one statement, so that it sees one moment: what a transaction writes together is there together,
or not yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, text, update

from openvps.compute.servers.states import SETTLED, TRANSITIONS
from openvps.core.db import Connection, Record
from openvps.schema import consistency_report, image, snapshot

LATE = timedelta(minutes=10)  # what was due so long ago is looked at by nobody
TAKEN_WITHIN = timedelta(minutes=1)  # a job that waits longer for a worker isn't on its way
OVERDUE = "The service's operator ended it: there is nothing left that it could be done to."
_TIMED = sorted({one.meanwhile for one in TRANSITIONS.values() if one.deadline_s is not None})
_GONE = {  # of each subject: the condition under which what is about `number` is about nothing
    "server": "NOT EXISTS (SELECT 1 FROM server WHERE server.id = {number})",
    "snapshot": "NOT EXISTS (SELECT 1 FROM snapshot WHERE snapshot.id = {number})",
    "backup": "NOT EXISTS (SELECT 1 FROM backup WHERE backup.id = {number})",
}


@dataclass(frozen=True)
class ServerRow:
    """A server of a cell, as its row is at one moment."""

    id: int
    version: int
    rests: bool  # settled, and nobody is to look at it
    has_disk: bool  # a machine of it must be there
    addresses: frozenset[str]


async def cell_servers(conn: Connection, cell_id: int) -> dict[int, ServerRow]:
    """Return a cell's servers by their numbers."""
    found = await conn.execute(
        text(
            "SELECT server.id, version, look_at IS NULL AND status = ANY(:settled) AS rests,"
            " status <> 'error' AND ready_at IS NOT NULL AS has_disk,"
            " array_remove(array_agg(host(address.ip)), NULL) AS addresses"
            " FROM server LEFT JOIN address ON address.server_id = server.id"
            " WHERE server.cell_id = :cell GROUP BY server.id"
        ),
        {"cell": cell_id, "settled": sorted(SETTLED)},
    )
    return {
        row.id: ServerRow(row.id, row.version, row.rests, row.has_disk, frozenset(row.addresses)) for row in found
    }


async def server_cells(conn: Connection, numbers: Sequence[int]) -> dict[int, int]:
    """Return the cells of those servers that have a row."""
    found = await conn.execute(text("SELECT id, cell_id FROM server WHERE id = ANY(:ids)"), {"ids": list(numbers)})
    return {row.id: row.cell_id for row in found}


async def last_server_number(conn: Connection) -> int:
    """Return the highest number that a server was ever given by this database; 0: none was."""
    found = await conn.execute(text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM server_id_seq"))
    return int(found.scalar_one())


async def never_given(conn: Connection) -> list[tuple[int, int]]:
    """Return the ranges of numbers below the last that no server ever had: skipped when the database was put back."""
    found = await conn.execute(text("SELECT first, last FROM skipped_numbers WHERE of = 'server'"))
    return [(row.first, row.last) for row in found]


async def cell_snapshots(conn: Connection, cell_id: int) -> list[Record]:
    """Return a cell's snapshots: server, and whether the engine must have it now; none that failed and rests."""
    found = await conn.execute(
        text(
            "SELECT snapshot.id, snapshot.server_id, snapshot.wanted = 'present' AND snapshot.status = 'completed'"
            " AND snapshot.look_at IS NULL AND server.look_at IS NULL AND server.status = ANY(:settled) AS kept"
            " FROM snapshot JOIN server ON server.id = snapshot.server_id WHERE server.cell_id = :cell"
            " AND NOT (snapshot.wanted = 'present' AND snapshot.status = 'failed' AND snapshot.look_at IS NULL)"
        ),
        {"cell": cell_id, "settled": sorted(SETTLED)},
    )
    return list(found)


async def backups_at_work(conn: Connection) -> frozenset[int]:
    """Return the backups that may need something in the engine: being made, deleted, read or restored from."""
    found = await conn.execute(
        text(
            "SELECT id FROM backup WHERE look_at IS NOT NULL OR status = 'in_progress' OR verify_cell_id IS NOT NULL"
            " UNION SELECT substr(restore_from, 8)::bigint FROM server WHERE restore_from ~ '^backup-[0-9]+$'"
        )
    )
    return frozenset(found.scalars())


async def cell_images(conn: Connection, cell_id: int) -> dict[str, bool]:
    """Return a cell's images by fingerprint, and whether new servers may get them."""
    rows = await conn.execute(select(image.c.fingerprint, image.c.retired_at).where(image.c.cell_id == cell_id))
    return {row.fingerprint: row.retired_at is None for row in rows}


# rows that contradict each other


async def stray_addresses(conn: Connection, rest: timedelta) -> list[Record]:
    """Return addresses that nobody can ever have, or that a server of another cell has."""
    found = await conn.execute(
        text(
            "SELECT host(address.ip) AS ip, address.server_id, address.family,"
            " cell.name AS cell, address_pool.cell_id AS cell_id"
            " FROM address JOIN address_pool ON address_pool.id = address.pool_id"
            " JOIN cell ON cell.id = address_pool.cell_id LEFT JOIN server ON server.id = address.server_id"
            " WHERE server.cell_id <> address_pool.cell_id OR address.server_id IS NULL"
            " AND (address.family = 6 OR address.rests_until > now() + :longest)"
        ),
        {"longest": rest + LATE},
    )
    return list(found)


async def without_address(conn: Connection) -> list[Record]:
    """Return servers that have no IPv4 address."""
    found = await conn.execute(
        text(
            "SELECT server.id, server.cell_id, cell.name AS cell FROM server JOIN cell ON cell.id = server.cell_id"
            " WHERE NOT EXISTS (SELECT 1 FROM address WHERE server_id = server.id AND family = 4)"
        )
    )
    return list(found)


async def stray_holds(conn: Connection) -> list[str]:
    """Return the references of held credit that is for no server, or for one whose create has failed."""
    found = await conn.execute(
        text(
            "SELECT reference FROM ledger_hold WHERE reference ~ '^server:[0-9]+$' AND NOT EXISTS ("
            " SELECT 1 FROM server WHERE server.id = substr(reference, 8)::bigint AND (status <> 'error'"
            " OR ready_at IS NOT NULL OR look_at IS NOT NULL)) ORDER BY reference"
        )
    )
    return list(found.scalars())


async def stray_meters(conn: Connection) -> list[int]:
    """Return the numbers of servers that are charged for and are no more."""
    found = await conn.execute(
        text(
            "SELECT server_id FROM meter WHERE ended_at IS NULL"
            f" AND {_GONE['server'].format(number='meter.server_id')} ORDER BY 1"
        )
    )
    return list(found.scalars())


async def without_meter(conn: Connection) -> list[int]:
    """Return servers that nobody pays for."""
    found = await conn.execute(
        text(
            "SELECT id FROM server WHERE wanted <> 'absent' AND (status <> 'error' OR ready_at IS NOT NULL)"
            " AND NOT EXISTS (SELECT 1 FROM meter WHERE server_id = server.id AND ended_at IS NULL) ORDER BY 1"
        )
    )
    return list(found.scalars())


async def stray_actions(conn: Connection) -> list[Record]:
    """Return unfinished actions about what is no more (`gone`), or about what rests: nobody will finish them."""
    parts = [
        "SELECT action.id, action.kind, action.subject_id,"
        f" {_GONE[subject].format(number='action.subject_id')} AS gone"
        f" FROM action LEFT JOIN {subject} AS thing ON thing.id = action.subject_id"
        f" WHERE action.finished_at IS NULL AND action.kind LIKE '{subject}.%' AND thing.look_at IS NULL"
        for subject in _GONE
    ]
    found = await conn.execute(text(" UNION ALL ".join(parts) + " ORDER BY id"))
    return list(found)


async def stray_jobs(conn: Connection) -> list[Record]:
    """Return jobs about what is no more, jobs that ended and stayed, and those of a worker that died long ago."""
    gone = " OR ".join(
        f"task_name = 'converge_{subject}' AND {condition.format(number=f'''(args->>'{subject}_id')::bigint''')}"
        for subject, condition in _GONE.items()
    )
    found = await conn.execute(
        text(
            "SELECT job.id, task_name, status::text, coalesce(lock, '') AS subject FROM procrastinate_jobs AS job"
            " LEFT JOIN procrastinate_workers AS worker ON worker.id = worker_id"
            f" WHERE status = 'todo' AND ({gone}) AND NOT EXISTS (SELECT 1 FROM procrastinate_events AS event"
            " WHERE event.job_id = job.id AND event.at > now() - :taken_within)"
            " OR status NOT IN ('todo', 'doing')"
            " OR status = 'doing' AND coalesce(worker.last_heartbeat, '-infinity') < now() - :late ORDER BY job.id"
        ),
        {"late": LATE, "taken_within": TAKEN_WITHIN},
    )
    return list(found)


async def stuck_servers(conn: Connection) -> list[Record]:
    """Return servers on a way that nobody leads them to the end of."""
    found = await conn.execute(
        text(
            "SELECT server.id, status, cell.name AS cell FROM server JOIN cell ON cell.id = server.cell_id"
            " WHERE status <> ALL(:settled) AND look_at IS NULL"
            " OR status = ANY(:timed) AND deadline_at IS NULL"
            " OR deadline_at < now() - :late OR look_at < now() - :late AND cell.away_at IS NULL ORDER BY 1"
        ),
        {"settled": sorted(SETTLED), "timed": _TIMED, "late": LATE},
    )
    return list(found)


async def stuck_copies(conn: Connection) -> list[Record]:
    """Return snapshots and backups that are to be made or deleted, and that nobody is to look at."""
    found = await conn.execute(
        text(
            "SELECT 'snapshot' AS kind, id FROM snapshot WHERE (status = 'in_progress' OR wanted = 'absent')"
            " AND look_at IS NULL UNION ALL"
            " SELECT 'backup', id FROM backup WHERE (status = 'in_progress' OR wanted = 'absent')"
            " AND look_at IS NULL ORDER BY 1, 2"
        )
    )
    return list(found)


_TAKEN = (  # a resize under way keeps the larger of both sizes
    "SELECT cell.id, cell.name, used_vcpus, used_memory_mib, used_storage_gb,"
    " coalesce(sum(greatest(server.vcpus, (before->>'vcpus')::int)), 0)::int AS vcpus,"
    " coalesce(sum(greatest(server.memory_mib, (before->>'memory_mib')::int)), 0)::int AS memory_mib,"
    " (coalesce(sum(greatest(server.storage_gb, (before->>'storage_gb')::int)), 0)"
    " + coalesce(sum((SELECT sum(storage_gb) FROM snapshot WHERE server_id = server.id)), 0))::int AS storage_gb"
    " FROM cell LEFT JOIN server ON server.cell_id = cell.id"
    " LEFT JOIN action ON action.subject_id = server.id AND kind = 'server.resize' AND finished_at IS NULL"
)


async def miscounted_rooms(conn: Connection) -> list[Record]:
    """Return cells whose counters of used room aren't what their servers take."""
    found = await conn.execute(
        text(
            f"SELECT * FROM ({_TAKEN} GROUP BY cell.id) AS counted WHERE"
            " (used_vcpus, used_memory_mib, used_storage_gb) <> (vcpus, memory_mib, storage_gb)"
        )
    )
    return list(found)


# mending


async def count_room(conn: Connection, cell_id: int) -> None:
    """Have a cell's counters say what its servers take; its row is locked first, as whoever takes room does."""
    await conn.execute(text("SELECT 1 FROM cell WHERE id = :id FOR NO KEY UPDATE"), {"id": cell_id})
    await conn.execute(
        text(
            "UPDATE cell SET used_vcpus = vcpus, used_memory_mib = memory_mib, used_storage_gb = storage_gb"
            f" FROM ({_TAKEN} WHERE cell.id = :id GROUP BY cell.id) AS counted WHERE cell.id = counted.id"
        ),
        {"id": cell_id},
    )


async def look_now(conn: Connection, table: str, number: int) -> None:
    """Have a server, snapshot or backup looked at again, with a deadline where its status must have one."""
    when = "UPDATE {} SET look_at = now() WHERE id = :id"
    await conn.execute(text(when.format(table)), {"id": number})
    if table == "server":
        for way in {one.meanwhile: one for one in TRANSITIONS.values() if one.deadline_s}.values():
            await conn.execute(
                text(
                    "UPDATE server SET deadline_at = now() + :within"
                    " WHERE id = :id AND status = :status AND deadline_at IS NULL"
                ),
                {"id": number, "status": way.meanwhile, "within": timedelta(seconds=way.deadline_s or 0)},
            )


async def account_of(conn: Connection, server_id: int) -> int | None:
    """Return whose a metered server was."""
    found = await conn.execute(text("SELECT account_id FROM meter WHERE server_id = :id"), {"id": server_id})
    return found.scalar_one_or_none()


async def free_address(conn: Connection, ip: str) -> None:
    """Take an address from who can't have it: IPv6 is forgotten, IPv4 may be given out at once."""
    await conn.execute(text("DELETE FROM address WHERE ip = CAST(:ip AS inet) AND family = 6"), {"ip": ip})
    await conn.execute(
        text("UPDATE address SET server_id = NULL, rests_until = now() WHERE ip = CAST(:ip AS inet)"), {"ip": ip}
    )


async def remove_job(conn: Connection, number: int) -> None:
    """Delete a job."""
    await conn.execute(text("DELETE FROM procrastinate_jobs WHERE id = :id"), {"id": number})


async def retire_image(conn: Connection, cell_id: int, fingerprint: str) -> None:
    """Offer an image of one cell no longer."""
    await conn.execute(
        update(image)
        .where(image.c.cell_id == cell_id, image.c.fingerprint == fingerprint, image.c.retired_at.is_(None))
        .values(retired_at=func.now())
    )


async def fail_snapshot(conn: Connection, number: int, error: str) -> None:
    """Have a snapshot say that it isn't there."""
    await conn.execute(
        update(snapshot)
        .where(snapshot.c.id == number, snapshot.c.status == "completed")
        .values(status="failed", error=error)
    )


# reports

_SHOWN = tuple(column for column in consistency_report.c if column.name != "result")


async def ask(conn: Connection, *, asked_by: str, repair: bool, at: datetime) -> int:
    """Want one more look; returns the report's number."""
    put = insert(consistency_report).values(asked_by=asked_by, repair=repair, created_at=at)
    return (await conn.execute(put.returning(consistency_report.c.id))).scalar_one()


async def report_row(conn: Connection, reference: int | UUID) -> Record | None:
    """Return one report, with what it found."""
    key = consistency_report.c.uuid if isinstance(reference, UUID) else consistency_report.c.id
    return (await conn.execute(select(consistency_report).where(key == reference))).one_or_none()


async def reports(conn: Connection, *, offset: int, limit: int) -> tuple[int, list[Record]]:
    """Return how many reports there are, and some of them, newest first."""
    count = (await conn.execute(select(func.count()).select_from(consistency_report))).scalar_one()
    query = select(*_SHOWN).order_by(consistency_report.c.id.desc()).offset(offset).limit(limit)
    return count, list(await conn.execute(query))


async def last_report(conn: Connection) -> Record | None:
    """Return the newest report that is done."""
    done = consistency_report.c.finished_at.is_not(None)
    query = select(consistency_report).where(done).order_by(consistency_report.c.id.desc()).limit(1)
    return (await conn.execute(query)).one_or_none()


async def begin_report(conn: Connection, number: int) -> None:
    """Note that the look has begun."""
    await conn.execute(
        update(consistency_report)
        .where(consistency_report.c.id == number)
        .values(status="running", started_at=func.now())
    )


async def end_report(conn: Connection, number: int, **values: Any) -> None:
    """Keep what came of a look."""
    await conn.execute(
        update(consistency_report)
        .where(consistency_report.c.id == number)
        .values(status="completed", finished_at=func.now(), **values)
    )


async def unfinished_reports(conn: Connection) -> list[int]:
    """Return the reports that somebody waits for."""
    found = await conn.execute(
        select(consistency_report.c.id)
        .where(consistency_report.c.finished_at.is_(None))
        .order_by(consistency_report.c.id)
    )
    return list(found.scalars())


async def asked_since(conn: Connection, asked_by: str, at: datetime) -> bool:
    """Whether somebody's look was begun since `at`."""
    where = (consistency_report.c.asked_by == asked_by, consistency_report.c.created_at >= at)
    return (await conn.execute(select(consistency_report.c.id).where(*where).limit(1))).first() is not None


async def forget_reports(conn: Connection, before: datetime) -> None:
    """Delete old reports."""
    await conn.execute(delete(consistency_report).where(consistency_report.c.created_at < before))
