"""The audit log's one entrance: called in the transaction of what it tells of."""

from openvps.accounts import queries
from openvps.accounts.auth import Caller
from openvps.core.db import Connection


async def record(conn: Connection, caller: Caller, operation: str, subject: str) -> None:
    """Append who did `operation` (a route's name) to `subject` (`server 12`)."""
    await queries.note(
        conn,
        account_id=caller.account_id,
        token_id=caller.token_id,
        client_address=caller.client_address,
        operation=operation,
        subject=subject,
    )
