"""The SQL of the audit log: append, and read newest first."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select

from openvps.core.db import Connection, Record
from openvps.schema import audit_entry


@dataclass(frozen=True)
class Filter:
    """Which entries are asked for; None: all."""

    account_id: int | None = None
    operation: str | None = None
    subject: str | None = None
    since: datetime | None = None

    def conditions(self) -> list[Any]:
        """Return the conditions of a WHERE."""
        wanted = {"account_id": self.account_id, "operation": self.operation, "subject": self.subject}
        found = [audit_entry.c[name] == value for name, value in wanted.items() if value is not None]
        return found + ([audit_entry.c.created_at >= self.since] if self.since else [])


async def append(conn: Connection, **values: Any) -> None:
    """Append one entry."""
    await conn.execute(insert(audit_entry).values(**values))


async def entries(conn: Connection, wanted: Filter, *, offset: int, limit: int) -> tuple[int, list[Record]]:
    """Return how many entries there are, and some of them, newest first."""
    where = wanted.conditions()
    count = (await conn.execute(select(func.count()).select_from(audit_entry).where(*where))).scalar_one()
    rows = await conn.execute(
        select(audit_entry).where(*where).order_by(audit_entry.c.id.desc()).offset(offset).limit(limit)
    )
    return count, list(rows)
