"""The SQL of webhooks and their deliveries."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, text, update

from openvps.core.db import Connection, Record
from openvps.schema import account, cell, notice, webhook, webhook_delivery

PROBE = "webhook.probe"
PROBES = -1  # their lane: they wait for nothing

_SHOWN = (
    webhook.c.id,
    webhook.c.uuid,
    webhook.c.url,
    webhook.c.description,
    webhook.c.kinds,
    webhook.c.failing_since,
    webhook.c.previous_secret_until,
    webhook.c.disabled_at,
    webhook.c.disabled_reason,
    webhook.c.created_at,
)
_DELIVERY = (
    webhook_delivery.c.id,
    webhook_delivery.c.uuid,
    webhook_delivery.c.webhook_id,
    webhook_delivery.c.lane,
    webhook_delivery.c.kind,
    webhook_delivery.c.body,
    webhook_delivery.c.status,
    webhook_delivery.c.attempts,
    webhook_delivery.c.next_at,
    webhook_delivery.c.answer_status,
    webhook_delivery.c.error,
    webhook_delivery.c.attempted_at,
    webhook_delivery.c.created_at,
)


def _mine(account_id: int, reference: int | UUID) -> Any:
    key = webhook.c.uuid if isinstance(reference, UUID) else webhook.c.id
    return (webhook.c.account_id == account_id) & (key == reference)


async def count(conn: Connection, account_id: int) -> int:
    """Return how many webhooks an account has."""
    mine = webhook.c.account_id == account_id
    return (await conn.execute(select(func.count()).select_from(webhook).where(mine))).scalar_one()


async def page(conn: Connection, account_id: int, *, offset: int, limit: int) -> Sequence[Record]:
    """Return some of an account's webhooks, newest first."""
    mine = select(*_SHOWN).where(webhook.c.account_id == account_id)
    return (await conn.execute(mine.order_by(webhook.c.id.desc()).offset(offset).limit(limit))).all()


async def add(conn: Connection, **values: Any) -> Record:
    """Make a webhook."""
    return (await conn.execute(insert(webhook).values(values).returning(*_SHOWN))).one()


async def one(conn: Connection, account_id: int, reference: int | UUID) -> Record | None:
    """Return one of the account's webhooks."""
    return (await conn.execute(select(*_SHOWN).where(_mine(account_id, reference)))).one_or_none()


async def change(
    conn: Connection, account_id: int, reference: int | UUID, values: Mapping[str, Any]
) -> Record | None:
    """Change one of the account's webhooks."""
    changed = update(webhook).where(_mine(account_id, reference)).values(dict(values) or {"url": webhook.c.url})
    return (await conn.execute(changed.returning(*_SHOWN))).one_or_none()


async def rotate(
    conn: Connection, account_id: int, reference: int | UUID, secret: bytes, until: datetime
) -> Record | None:
    """Have another secret sign one of the account's webhooks; the one before it signs as well `until` then."""
    values = {"secret": secret, "previous_secret": webhook.c.secret, "previous_secret_until": until}
    changed = update(webhook).where(_mine(account_id, reference)).values(values)
    return (await conn.execute(changed.returning(*_SHOWN))).one_or_none()


async def remove(conn: Connection, account_id: int, reference: int | UUID) -> int | None:
    """Delete one of the account's webhooks, with its deliveries."""
    gone = delete(webhook).where(_mine(account_id, reference)).returning(webhook.c.id)
    return (await conn.execute(gone)).scalar_one_or_none()


async def deliveries(
    conn: Connection, webhook_id: int, status: str | None, *, offset: int, limit: int
) -> tuple[int, Sequence[Record]]:
    """Return how many deliveries a webhook has, and some of them, newest first."""
    where = [webhook_delivery.c.webhook_id == webhook_id]
    if status is not None:
        where.append(webhook_delivery.c.status == status)
    total = (await conn.execute(select(func.count()).select_from(webhook_delivery).where(*where))).scalar_one()
    rows = select(*_DELIVERY).where(*where).order_by(webhook_delivery.c.id.desc()).offset(offset).limit(limit)
    return total, (await conn.execute(rows)).all()


async def probe(conn: Connection, webhook_id: int, body: Mapping[str, Any], give_up_at: datetime) -> Record:
    """Add a delivery that tells of nothing."""
    values = {"webhook_id": webhook_id, "lane": PROBES, "kind": PROBE, "body": body, "give_up_at": give_up_at}
    return (await conn.execute(insert(webhook_delivery).values(values).returning(*_DELIVERY))).one()


async def resend(conn: Connection, account_id: int, reference: int | UUID, at: datetime, until: datetime) -> Any:
    """Have a delivery sent again, whatever became of it; returns it, or None."""
    key = webhook_delivery.c.uuid if isinstance(reference, UUID) else webhook_delivery.c.id
    mine = select(webhook.c.id).where(webhook.c.account_id == account_id, webhook.c.disabled_at.is_(None))
    again = (
        update(webhook_delivery)
        .where(key == reference, webhook_delivery.c.webhook_id.in_(mine))
        .values(status="pending", attempts=0, next_at=at, give_up_at=until, finished_at=None, error=None)
    )
    return (await conn.execute(again.returning(*_DELIVERY))).one_or_none()


async def has_delivery(conn: Connection, account_id: int, reference: int | UUID) -> bool:
    """Return whether a delivery is one of the account's."""
    key = webhook_delivery.c.uuid if isinstance(reference, UUID) else webhook_delivery.c.id
    found = select(webhook_delivery.c.id).join(webhook, webhook.c.id == webhook_delivery.c.webhook_id)
    return (await conn.execute(found.where(webhook.c.account_id == account_id, key == reference))).first() is not None


# the worker's side


async def target(conn: Connection, webhook_id: int) -> Record | None:
    """Return where a webhook's deliveries go; None where they go nowhere now."""
    found = (
        select(
            webhook.c.id,
            webhook.c.account_id,
            webhook.c.url,
            webhook.c.secret,
            webhook.c.previous_secret,
            webhook.c.previous_secret_until,
        )
        .join(account, account.c.id == webhook.c.account_id)
        .where(webhook.c.id == webhook_id, webhook.c.disabled_at.is_(None), account.c.disabled_at.is_(None))
    )
    return (await conn.execute(found)).one_or_none()


# Lane by lane through the index, however many are behind one that can't be delivered.
_TAKE = text(
    "WITH RECURSIVE lanes AS ("
    " (SELECT lane FROM webhook_delivery WHERE webhook_id = :webhook AND status = 'pending' ORDER BY lane LIMIT 1)"
    " UNION ALL SELECT (SELECT d.lane FROM webhook_delivery d WHERE d.webhook_id = :webhook"
    "  AND d.status = 'pending' AND d.lane > lanes.lane ORDER BY d.lane LIMIT 1)"
    " FROM lanes WHERE lanes.lane IS NOT NULL),"
    " heads AS (SELECT head.id FROM lanes CROSS JOIN LATERAL (SELECT d.id, d.next_at FROM webhook_delivery d"
    "  WHERE d.webhook_id = :webhook AND d.status = 'pending' AND d.lane = lanes.lane ORDER BY d.id LIMIT 1) head"
    "  WHERE head.next_at <= :at ORDER BY head.id LIMIT :most)"
    " UPDATE webhook_delivery SET attempts = attempts + 1, attempted_at = :at, next_at = :until"
    " FROM heads WHERE webhook_delivery.id = heads.id AND status = 'pending'"
    " RETURNING webhook_delivery.id, uuid, kind, body, attempts, give_up_at"
)


async def take(conn: Connection, webhook_id: int, at: datetime, until: datetime, *, most: int) -> Sequence[Record]:
    """Take the oldest delivery of each of some lanes, where it is due; nobody else takes them before `until`."""
    values = {"webhook": webhook_id, "at": at, "until": until, "most": most}
    return (await conn.execute(_TAKE, values)).all()


async def end(
    conn: Connection, delivery: Record, *, status: str, next_at: datetime, answer: int | None, error: str | None
) -> bool:
    """Note how an attempt ended; False: it isn't the last one any more, or the webhook is gone."""
    done = await conn.execute(
        update(webhook_delivery)
        .where(
            webhook_delivery.c.id == delivery.id,
            webhook_delivery.c.attempts == delivery.attempts,
            webhook_delivery.c.status == "pending",
        )
        .values(
            status=status,
            next_at=next_at,
            answer_status=answer,
            error=error,
            finished_at=None if status == "pending" else func.now(),
        )
    )
    return done.rowcount == 1


# Those behind one that waits wait as long: the sweep doesn't come for them before.
_HOLD_BACK = text(
    "UPDATE webhook_delivery behind SET next_at = head.next_at FROM ("
    " SELECT DISTINCT ON (lane) lane, next_at FROM webhook_delivery"
    " WHERE webhook_id = :webhook AND status = 'pending' ORDER BY lane, id) head"
    " WHERE behind.webhook_id = :webhook AND behind.status = 'pending' AND behind.lane = head.lane"
    " AND behind.next_at < head.next_at"
)


async def hold_back(conn: Connection, webhook_id: int) -> None:
    """Have what is behind an undelivered one wait for it."""
    await conn.execute(_HOLD_BACK, {"webhook": webhook_id})


async def release(conn: Connection, webhook_id: int, at: datetime) -> None:
    """Have all that waits be due: the receiver is there again."""
    await conn.execute(
        update(webhook_delivery)
        .where(webhook_delivery.c.webhook_id == webhook_id, webhook_delivery.c.status == "pending")
        .where(webhook_delivery.c.next_at > at)
        .values(next_at=at)
    )


async def note_success(conn: Connection, webhook_id: int) -> bool:
    """Note that a webhook works; returns whether it hadn't."""
    works = update(webhook).where(webhook.c.id == webhook_id, webhook.c.failing_since.is_not(None))
    return (await conn.execute(works.values(failing_since=None))).rowcount == 1


async def note_failure(conn: Connection, webhook_id: int, at: datetime) -> datetime | None:
    """Note that a webhook doesn't work; returns since when it hasn't, None where it is gone."""
    fails = update(webhook).where(webhook.c.id == webhook_id)
    since = func.coalesce(webhook.c.failing_since, at)
    return (
        await conn.execute(fails.values(failing_since=since).returning(webhook.c.failing_since))
    ).scalar_one_or_none()


async def disable(conn: Connection, webhook_id: int, reason: str, at: datetime) -> int | None:
    """Send a webhook nothing any more, and give up what waits; returns its account, None where it was disabled."""
    off = update(webhook).where(webhook.c.id == webhook_id, webhook.c.disabled_at.is_(None))
    account_id = (
        await conn.execute(off.values(disabled_at=at, disabled_reason=reason).returning(webhook.c.account_id))
    ).scalar_one_or_none()
    await conn.execute(
        update(webhook_delivery)
        .where(webhook_delivery.c.webhook_id == webhook_id, webhook_delivery.c.status == "pending")
        .values(status="failed", error="The webhook was disabled.", finished_at=at)
    )
    return account_id


async def tell(conn: Connection, account_id: int, kind: str, told: str) -> None:
    """Tell an account something."""
    await conn.execute(insert(notice).values(account_id=account_id, kind=kind, text=told))


async def due(conn: Connection, at: datetime, *, limit: int) -> list[int]:
    """Return webhooks that have something to be sent by `at`."""
    waiting = (
        select(webhook_delivery.c.webhook_id)
        .join(webhook, webhook.c.id == webhook_delivery.c.webhook_id)
        .join(account, account.c.id == webhook.c.account_id)
        .where(webhook_delivery.c.status == "pending", webhook_delivery.c.next_at <= at)
        .where(account.c.disabled_at.is_(None), webhook.c.disabled_at.is_(None))
    )
    return list((await conn.execute(waiting.distinct().limit(limit))).scalars())


async def members(conn: Connection) -> list[str]:
    """Return the addresses of cells: https://host:port."""
    return list((await conn.execute(select(func.unnest(cell.c.members)))).scalars())


async def forget_old(conn: Connection, days: int, *, limit: int) -> int:
    """Remove deliveries past their days, the oldest first; returns how many."""
    old = (
        select(webhook_delivery.c.id)
        .where(webhook_delivery.c.created_at < func.now() - timedelta(days=days))
        .order_by(webhook_delivery.c.created_at)
        .limit(limit)
    )
    return (await conn.execute(delete(webhook_delivery).where(webhook_delivery.c.id.in_(old)))).rowcount
