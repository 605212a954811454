"""The history of one measure of a server: read from the finest resolution that still has its beginning."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from openvps.compute.usage.resolutions import RESOLUTIONS, Resolution, floor
from openvps.core.db import Connection, Record

STEPS_S = (60, 300, 3600, 86400)
MOST_POINTS = 1500
LONGEST = RESOLUTIONS[-1].kept


@dataclass(frozen=True)
class Metric:
    """A measure: its unit, and how the rows of a step make one value."""

    unit: str
    value: str


_MEAN = "CAST(sum(CAST({} AS numeric) * samples) / sum(samples) AS bigint)"
METRICS = {
    "cpu": Metric(
        "percent",
        "CAST(least(round(CAST(100 * sum(cpu_seconds) / nullif(sum(vcpu_seconds), 0) AS numeric), 2), 100) AS float)",
    ),
    "memory": Metric("bytes", _MEAN.format("memory_used_bytes")),
    "disk": Metric("bytes", _MEAN.format("disk_used_bytes")),
    "received": Metric("bytes", "CAST(sum(received_bytes) AS bigint)"),
    "sent": Metric("bytes", "CAST(sum(sent_bytes) AS bigint)"),
}
_READ = """
SELECT at, value FROM (
    SELECT date_bin(:step, {begins}, timestamptz '2000-01-01 00:00Z') AS at, {value} AS value
    FROM {table} WHERE server_id = :server AND {begins} >= :start AND {begins} < :end GROUP BY 1
) AS binned WHERE value IS NOT NULL ORDER BY at
"""


def finest(start: datetime, at: datetime) -> Resolution:
    """Return the finest resolution that keeps `start` at the moment `at`; the coarsest where none does."""
    return next((one for one in RESOLUTIONS if start >= at - one.kept), RESOLUTIONS[-1])


def step_for(start: datetime, end: datetime, at: datetime) -> int:
    """Return the smallest step, in seconds, that is kept since `start` and makes few enough points."""
    least_s = finest(start, at).step.total_seconds()
    span_s = (end - start).total_seconds()
    return next(one for one in STEPS_S if one >= least_s and span_s / one <= MOST_POINTS)


async def read(
    conn: Connection, server_id: int, metric: Metric, span: tuple[datetime, datetime], step_s: int
) -> list[Record]:
    """Return the values of each step of `span` that has any: `at` is when the step begins, UTC."""
    step = timedelta(seconds=step_s)
    coarsest = [one for one in RESOLUTIONS if one.step <= step][-1]
    statement = text(_READ.format(begins=coarsest.begins.name, value=metric.value, table=coarsest.table.name))
    asked = {"step": step, "server": server_id, "start": floor(span[0], step), "end": span[1]}
    return list(await conn.execute(statement, asked))
