"""What both sides of a snapshot know: its name in the engine, and how the worker is told of it."""

from openvps.core import jobs
from openvps.core.db import Connection


def engine_name(snapshot_id: int) -> str:
    """Return a snapshot's name in the engine."""
    return f"snap-{snapshot_id}"


async def wake(conn: Connection, snapshot_id: int, server_id: int, *, priority: int = jobs.CUSTOMER) -> None:
    """Have a worker look at a snapshot, after what it is doing with its server."""
    await jobs.defer(
        conn,
        jobs.CONVERGE_SNAPSHOT,
        f"snapshot:{snapshot_id}",
        lock=f"server:{server_id}",
        priority=priority,
        snapshot_id=snapshot_id,
    )
