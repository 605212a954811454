"""A server's sample: what its counters moved since the one before, and what it holds now."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from openvps.compute.usage.history import Sample
from openvps.core.db import Record
from openvps.engine.protocol import Machine, Usage

_OFF = Usage(cpu_seconds=0.0, memory_used_bytes=0, received_bytes=0, sent_bytes=0)


def take(
    server: int, row: Record, machine: Machine, used: Usage | None, at: datetime
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
        "server_id": server,
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
        server_id=server,
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
