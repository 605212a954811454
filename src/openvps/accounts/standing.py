"""Standing: whether an account's servers may run. Billing sets it for credit, operators for other reasons.

A suspension by an operator isn't lifted by credit, nor one for lack of credit by an operator.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select

from openvps.core.db import Connection
from openvps.core.errors import BadRequest
from openvps.schema import account

SUSPENDED = or_(account.c.unpaid_at.is_not(None), account.c.suspended_at.is_not(None))
COLUMNS: Sequence[Any] = (account.c.unpaid_at, account.c.suspended_at, account.c.suspended_reason)


def why(unpaid_at: datetime | None, suspended_at: datetime | None, reason: str) -> str | None:
    """Return why an account's servers are suspended and what to do about it; None: they aren't."""
    if suspended_at is not None:
        return f"Your provider has suspended this account{f': {reason}' if reason else ''}. Ask your provider."
    if unpaid_at is not None:
        return "This account is suspended because it has no credit. Add credit, and its servers start again."
    return None


async def check(conn: Connection, account_id: int) -> None:
    """Let pass only an account whose servers may run. Raises BadRequest, which says why not."""
    row = (await conn.execute(select(*COLUMNS).where(account.c.id == account_id))).one()
    if text := why(*row):
        raise BadRequest(text)


async def lock(conn: Connection, account_id: int) -> None:
    """Hold an account's standing as it is until the transaction ends."""
    await conn.execute(select(account.c.id).where(account.c.id == account_id).with_for_update(key_share=True))
