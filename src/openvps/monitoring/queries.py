"""The SQL of what is watched. The first few are read at every scrape, those that read every backup now and then."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select, text

from openvps.compute.locations.queries import SILENT
from openvps.core.db import Connection, Record
from openvps.schema import action, cell, location, meter, server, server_count, turn, webhook, webhook_delivery


async def cells(conn: Connection) -> Sequence[Record]:
    """Return each cell's room, what is used of it, whether it answers, and since when it was seen."""
    columns = (
        cell.c.name,
        location.c.code,
        *(cell.c[f"{kind}_{one}"] for kind in ("room", "used") for one in ("vcpus", "memory_mib", "storage_gb")),
        SILENT.label("silent"),
        func.extract("epoch", func.now() - cell.c.seen_at).label("seen_s"),
    )
    return (await conn.execute(select(*columns).join(location, location.c.id == cell.c.location_id))).all()


async def servers(conn: Connection) -> Sequence[Record]:
    """Return how many servers there are by location and status."""
    n = func.sum(server_count.c.n).label("n")
    counted = select(location.c.code, server_count.c.status, n).join(
        location, location.c.id == server_count.c.location_id
    )
    return (await conn.execute(counted.group_by(location.c.code, server_count.c.status))).all()


async def work(conn: Connection) -> Record:
    """Return what is late: servers past their deadline, the oldest action, hours to be charged, deliveries."""
    overdue = select(func.count()).where(
        server.c.look_at.is_not(None), server.c.deadline_at < func.now() - timedelta(minutes=2)
    )
    oldest = select(func.min(action.c.created_at)).where(action.c.exclusive, action.c.finished_at.is_(None))
    uncharged = select(func.min(meter.c.due_at)).where(meter.c.due_at.is_not(None))
    waiting = select(func.count(), func.min(webhook_delivery.c.created_at)).where(
        webhook_delivery.c.status == "pending"
    )
    failing = select(func.count()).where(webhook.c.failing_since.is_not(None), webhook.c.disabled_at.is_(None))
    pending = waiting.subquery()
    return (
        await conn.execute(
            select(
                overdue.scalar_subquery().label("overdue"),
                func.extract("epoch", func.now() - oldest.scalar_subquery()).label("action_s"),
                func.extract("epoch", func.now() - uncharged.scalar_subquery()).label("billing_s"),
                pending.c[0].label("deliveries"),
                func.extract("epoch", func.now() - pending.c[1]).label("delivery_s"),
                failing.scalar_subquery().label("webhooks_failing"),
            ).select_from(pending)
        )
    ).one()


async def watchers(conn: Connection) -> Sequence[Record]:
    """Return how long ago each watcher had its turn."""
    age = func.extract("epoch", func.now() - turn.c.taken_at).label("age_s")
    return (await conn.execute(select(turn.c.name, age))).all()


async def jobs(conn: Connection) -> Record:
    """Return how many jobs wait and run, and how many workers show signs of life."""
    return (
        await conn.execute(
            text(
                "SELECT (SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo') AS waiting,"
                " (SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing') AS running,"
                " (SELECT count(*) FROM procrastinate_workers"
                "  WHERE last_heartbeat > now() - interval '12 seconds') AS workers"
            )
        )
    ).one()


async def backups(conn: Connection) -> Record:
    """Return how old the newest good and the newest proved backup are, and how many servers lack a recent one."""
    return (
        await conn.execute(
            text(
                "SELECT extract(epoch FROM now() - max(created_at) FILTER (WHERE status = 'completed')) AS good_s,"
                " extract(epoch FROM now() - max(verified_at)) AS verified_s,"
                " count(*) FILTER (WHERE status = 'failed' AND created_at > now() - interval '1 day') AS failed,"
                " count(*) FILTER (WHERE verify_failed_at IS NOT NULL) AS not_proved,"
                " (SELECT count(*) FROM server WHERE backups_enabled AND wanted <> 'absent'"
                "  AND ready_at < now() - interval '30 hours' AND NOT EXISTS (SELECT FROM backup"
                "   WHERE backup.server_id = server.id AND backup.status = 'completed'"
                "   AND backup.created_at > now() - interval '30 hours')) AS servers_without FROM backup"
            )
        )
    ).one()
