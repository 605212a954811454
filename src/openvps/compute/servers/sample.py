"""A server's sample: what its counters moved since the one before, what it holds now, and where that is kept."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ARRAY, func, literal, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from openvps.compute.servers.queries import ABSENT
from openvps.compute.usage.history import Sample
from openvps.core.db import Connection, Record
from openvps.engine.protocol import Machine, Usage
from openvps.schema import server, usage

_OFF = Usage(cpu_seconds=0.0, memory_used_bytes=0, received_bytes=0, sent_bytes=0)


def take(
    server_id: int, row: Record, machine: Machine, used: Usage | None, at: datetime
) -> tuple[dict[str, Any], Sample]:
    """Return a server's row of `usage`, and what is added to its history; `used` is None while it is off."""
    counted = used or _OFF
    first = row.sampled_at is None
    elapsed_s = 0.0 if first else max((at - row.sampled_at).total_seconds(), 0.0)
    cpu_s = _since(counted.cpu_seconds, None if first else float(row.cpu_seconds))
    received = int(_since(counted.received_bytes, row.received_bytes))
    sent = int(_since(counted.sent_bytes, row.sent_bytes))
    month = f"{at:%Y-%m}"
    goes_on = row.month == month
    percent = 100 * cpu_s / (elapsed_s * row.vcpus) if elapsed_s > 0 else 0.0
    disk = machine.disk_used_bytes if machine.disk_used_bytes is not None else row.disk_used_bytes or 0
    latest = {
        "server_id": server_id,
        "sampled_at": at,
        "cpu_seconds": Decimal(str(counted.cpu_seconds)),
        "received_bytes": counted.received_bytes,
        "sent_bytes": counted.sent_bytes,
        "cpu_percent": Decimal(str(round(min(max(percent, 0.0), 100.0), 2))),
        "memory_used_bytes": counted.memory_used_bytes,
        "disk_used_bytes": disk,
        "month": month,
        "month_received_bytes": received + (row.month_received_bytes if goes_on else 0),
        "month_sent_bytes": sent + (row.month_sent_bytes if goes_on else 0),
    }
    return latest, Sample(
        server_id=server_id,
        seconds=elapsed_s,
        vcpu_seconds=elapsed_s * row.vcpus,
        cpu_seconds=cpu_s if elapsed_s else 0.0,  # before the first sample there is no time to set it against
        memory_used_bytes=counted.memory_used_bytes,
        disk_used_bytes=disk,
        received_bytes=received,
        sent_bytes=sent,
    )


def late(sampled_at: datetime | None, began: datetime, at: datetime) -> bool:
    """Whether a reading began before the last one had ended: its counters may be the older ones, and seem reset.

    A last one after `at`, the present, was taken before the clock was set back, and says nothing.
    """
    return sampled_at is not None and began < sampled_at <= at


def _since(now_at: float, before: float | None) -> float:
    """Return how far a counter has come; one that fell was reset, and counts from zero."""
    return now_at if before is None or now_at < before else now_at - before


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
        .where(server.c.cell_id == cell_id, server.c.ready_at.is_not(None), server.c.wanted != ABSENT)
    )
    return {row.id: row for row in rows}


async def one_reading(conn: Connection, cell_id: int) -> None:
    """Have one reading of a cell counted at a time, until the transaction ends; nobody else waits for that."""
    await conn.execute(select(func.pg_advisory_xact_lock(func.hashtext("reading"), cell_id)))


async def keep(conn: Connection, rows: list[dict[str, Any]]) -> None:
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
