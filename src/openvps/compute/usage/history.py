"""Samples into every resolution, one statement each, and out of the finest that still has them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import text

from openvps.compute.usage import partitions
from openvps.compute.usage.resolutions import RESOLUTIONS, floor
from openvps.core.db import Connection


@dataclass(frozen=True)
class Sample:
    """What a server used since its last sample, and what it holds now; `seconds` is 0 for its first one."""

    server_id: int
    seconds: float
    vcpu_seconds: float
    cpu_seconds: float
    memory_used_bytes: int
    disk_used_bytes: int
    received_bytes: int
    sent_bytes: int


_COLUMNS = [one.name for one in fields(Sample)]
_ADD = """
INSERT INTO {table} AS kept (server_id, {begins}, samples, seconds, vcpu_seconds, cpu_seconds,
    memory_used_bytes, disk_used_bytes, received_bytes, sent_bytes)
SELECT server_id, :at, 1, seconds, vcpu_seconds, cpu_seconds,
    memory_used_bytes, disk_used_bytes, received_bytes, sent_bytes
FROM unnest(
    CAST(:server_id AS bigint[]), CAST(:seconds AS real[]), CAST(:vcpu_seconds AS real[]),
    CAST(:cpu_seconds AS real[]), CAST(:memory_used_bytes AS bigint[]), CAST(:disk_used_bytes AS bigint[]),
    CAST(:received_bytes AS bigint[]), CAST(:sent_bytes AS bigint[])
) AS sample (server_id, seconds, vcpu_seconds, cpu_seconds,
    memory_used_bytes, disk_used_bytes, received_bytes, sent_bytes)
ORDER BY server_id
ON CONFLICT (server_id, {begins}) DO UPDATE SET
    samples = kept.samples + 1,
    seconds = kept.seconds + excluded.seconds,
    vcpu_seconds = kept.vcpu_seconds + excluded.vcpu_seconds,
    cpu_seconds = kept.cpu_seconds + excluded.cpu_seconds,
    memory_used_bytes = (kept.memory_used_bytes * kept.samples + excluded.memory_used_bytes) / (kept.samples + 1),
    disk_used_bytes = (kept.disk_used_bytes * kept.samples + excluded.disk_used_bytes) / (kept.samples + 1),
    received_bytes = kept.received_bytes + excluded.received_bytes,
    sent_bytes = kept.sent_bytes + excluded.sent_bytes
"""
_STATEMENTS = [(one, text(_ADD.format(table=one.table.name, begins=one.begins.name))) for one in RESOLUTIONS]


async def add(conn: Connection, at: datetime, samples: Sequence[Sample]) -> None:
    """Add samples to the rows of their time in every resolution; the caller moves the counters on beside it."""
    if not samples:
        return
    await partitions.make(conn, at)
    arrays = {name: [getattr(one, name) for one in samples] for name in _COLUMNS}
    for one, statement in _STATEMENTS:
        await conn.execute(statement, arrays | {"at": floor(at, one.step)})
