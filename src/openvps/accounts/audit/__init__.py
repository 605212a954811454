"""The audit log's entrances: called in the transaction of what it tells of.

The database refuses every change of what was written (migration 0004).
"""

from fastapi import Request

from openvps.accounts.audit import queries
from openvps.accounts.auth import Caller, client_address, request_id
from openvps.core.db import Connection


async def record(conn: Connection, caller: Caller, operation: str, subject: str, **details: str) -> None:
    """Append who did `operation` (a route's name) to `subject` (`server 12`)."""
    await queries.append(
        conn,
        account_id=caller.account_id,
        token_id=caller.token_id,
        token_name=caller.token_name,
        client_address=caller.client_address,
        request_id=caller.request_id,
        operation=operation,
        subject=subject,
        details=details,
    )


async def record_visit(
    conn: Connection, request: Request, operation: str, *, account_id: int | None, **details: str
) -> None:
    """Append what somebody without a token did, like signing in; `account_id` is whose account it was about."""
    await queries.append(
        conn,
        account_id=account_id,
        client_address=client_address(request),
        request_id=request_id(request),
        operation=operation,
        subject=f"account {account_id}" if account_id else "",
        details=details,
    )


async def record_billing(conn: Connection, account_id: int, operation: str, subject: str, **details: str) -> None:
    """Append what followed from an account's credit or standing, for its owner to see."""
    await queries.append(
        conn, account_id=account_id, operation=operation, subject=subject, details={"by": "billing", **details}
    )


async def record_host(conn: Connection, operation: str, subject: str, **details: str) -> None:
    """Append what root did by a command on the host."""
    await queries.append(conn, operation=operation, subject=subject, details={"by": "root on the host", **details})
