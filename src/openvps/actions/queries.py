"""The SQL of actions.

One unfinished exclusive action a subject is an index, not a check: beginning a second one raises IntegrityError on
`uq_action_exclusive`, which the states' compare-and-set makes unreachable in practice.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, func, insert, literal_column, select, text, update

from openvps.core import metrics
from openvps.core.db import Connection, Record
from openvps.schema import action

_SHOWN = (
    action.c.id,
    action.c.uuid,
    action.c.kind,
    action.c.subject_id,
    action.c.status,
    action.c.progress,
    action.c.error,
    action.c.created_at,
    action.c.started_at,
    action.c.finished_at,
    literal_column(  # of a create that waits for its turn
        "CASE WHEN action.finished_at IS NULL AND action.kind IN ('server.create', 'server.retry')"
        " THEN (SELECT position FROM server_queue WHERE server_queue.id = action.subject_id) END",
        Integer,
    ).label("queue_position"),
)


async def begin(
    conn: Connection,
    *,
    account_id: int,
    kind: str,
    subject_id: int,
    exclusive: bool,
    before: Mapping[str, int] | None = None,
) -> int:
    """Begin an action and return its id; `before` is what is put back should it fail."""
    return (
        await conn.execute(
            insert(action)
            .values(account_id=account_id, kind=kind, subject_id=subject_id, exclusive=exclusive, before=before)
            .returning(action.c.id)
        )
    ).scalar_one()


async def shown(conn: Connection, account_id: int, reference: int | UUID) -> Record | None:
    """Return one of the account's actions."""
    key = action.c.uuid if isinstance(reference, UUID) else action.c.id
    return (
        await conn.execute(select(*_SHOWN).where(action.c.account_id == account_id, key == reference))
    ).one_or_none()


def _about(subject_id: int, subject: str) -> tuple[ColumnElement[bool], ...]:
    return action.c.subject_id == subject_id, action.c.kind.startswith(f"{subject}.")


async def page(
    conn: Connection, account_id: int, subject_id: int, *, offset: int, limit: int
) -> tuple[int, Sequence[Record]]:
    """Return how many actions a server has had, and some of them, newest first."""
    where = (action.c.account_id == account_id, *_about(subject_id, "server"))
    count = (await conn.execute(select(func.count()).select_from(action).where(*where))).scalar_one()
    rows = await conn.execute(select(*_SHOWN).where(*where).order_by(action.c.id.desc()).offset(offset).limit(limit))
    return count, rows.all()


async def unfinished(conn: Connection, subject_id: int, subject: str = "server") -> list[Record]:
    """Return a subject's running actions, oldest first."""
    return list(
        await conn.execute(
            select(
                action.c.id,
                action.c.kind,
                action.c.exclusive,
                action.c.progress,
                action.c.before,
                action.c.created_at,
                action.c.started_at,
                action.c.cancelled_for,
            )
            .where(*_about(subject_id, subject), action.c.finished_at.is_(None))
            .order_by(action.c.id)
        )
    )


_WITHOUT_WAITING = text("SET LOCAL synchronous_commit = off")


async def progressed(conn: Connection, running: Sequence[Record], percent: int) -> None:
    """Note how far running actions are, and that they have begun; nothing is written where nothing is new.

    The commit doesn't wait for the disk: what comes next is what the customer waits for, and the next look notes it.
    """
    behind = [one.id for one in running if one.started_at is None or one.progress < percent]
    if behind:
        await conn.execute(_WITHOUT_WAITING)
        await conn.execute(
            update(action)
            .where(action.c.id.in_(behind))
            .values(started_at=func.coalesce(action.c.started_at, func.now()), progress=percent)
        )


async def finish(conn: Connection, ids: Sequence[int], status: str, error: str | None = None) -> None:
    """End actions as `completed`, `failed` or `cancelled`; ended ones stay as they are."""
    values: dict[str, object] = {"status": status, "error": error, "finished_at": func.now()}
    if status == "completed":
        values["progress"] = 100
    ended = update(action).where(action.c.id.in_(ids), action.c.finished_at.is_(None)).values(values)
    for kind in (await conn.execute(ended.returning(action.c.kind))).scalars():
        metrics.ACTIONS.labels(kind, status).inc()
