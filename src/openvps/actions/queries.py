"""The SQL of actions.

One unfinished exclusive action a subject is an index, not a check: beginning a second one raises IntegrityError on
`uq_action_exclusive`, which the states' compare-and-set makes unreachable in practice.
"""

from collections.abc import Sequence

from sqlalchemy import func, insert, select, update

from openvps.core.db import Connection, Record
from openvps.schema import action


async def begin(conn: Connection, *, account_id: int, kind: str, subject_id: int, exclusive: bool) -> int:
    """Begin an action and return its id."""
    return (
        await conn.execute(
            insert(action)
            .values(account_id=account_id, kind=kind, subject_id=subject_id, exclusive=exclusive)
            .returning(action.c.id)
        )
    ).scalar_one()


async def unfinished(conn: Connection, subject_id: int) -> list[Record]:
    """Return a subject's running actions, oldest first."""
    return list(
        await conn.execute(
            select(action.c.id, action.c.kind, action.c.exclusive, action.c.created_at)
            .where(action.c.subject_id == subject_id, action.c.finished_at.is_(None))
            .order_by(action.c.id)
        )
    )


async def finish(conn: Connection, ids: Sequence[int], status: str, error: str | None = None) -> None:
    """End actions as `completed`, `failed` or `cancelled`; ended ones stay as they are."""
    await conn.execute(
        update(action)
        .where(action.c.id.in_(ids), action.c.finished_at.is_(None))
        .values(status=status, error=error, finished_at=func.now())
    )


async def cancel_unfinished(conn: Connection, subject_id: int, reason: str) -> None:
    """Cancel whatever runs for a subject."""
    await conn.execute(
        update(action)
        .where(action.c.subject_id == subject_id, action.c.finished_at.is_(None))
        .values(status="cancelled", error=reason, finished_at=func.now())
    )
