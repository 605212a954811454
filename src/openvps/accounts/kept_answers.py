"""How long the first answer to an `Idempotency-Key` is kept; apart from who answers, which the worker doesn't do."""

from datetime import timedelta

from sqlalchemy import delete, func

from openvps.core.db import Connection
from openvps.schema import idempotency_key

KEPT = timedelta(hours=24)


async def forget_old(conn: Connection) -> None:
    """Remove the answers that are no longer given again."""
    await conn.execute(delete(idempotency_key).where(idempotency_key.c.created_at <= func.now() - KEPT))
