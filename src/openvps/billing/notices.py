"""The SQL of notices: what an account was told about its credit."""

from sqlalchemy import func, insert, select

from openvps.core.db import Connection, Record
from openvps.schema import notice


async def add(conn: Connection, account_id: int, kind: str, text: str) -> None:
    """Tell an account something."""
    await conn.execute(insert(notice).values(account_id=account_id, kind=kind, text=text))


async def page(conn: Connection, account_id: int, *, offset: int, limit: int) -> tuple[int, list[Record]]:
    """Return how many notices an account has, and some of them, newest first."""
    mine = notice.c.account_id == account_id
    count = (await conn.execute(select(func.count()).select_from(notice).where(mine))).scalar_one()
    rows = await conn.execute(select(notice).where(mine).order_by(notice.c.id.desc()).offset(offset).limit(limit))
    return count, list(rows)
