"""`/account/audit/` for the account's own deeds, `/admin/audit/` for everybody's."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from typing_extensions import TypedDict

from openvps.accounts.audit import queries
from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.core.clock import iso
from openvps.core.db import Connection, Record
from openvps.core.errors import InvalidFields
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.requests import MAX_ID

router = APIRouter(route_class=Route)

MAX_TEXT = 200


class AuditEntry(TypedDict):
    """Who, from where, with which token, did what to what."""

    id: Annotated[int, Field(description="The entry's number; later ones are higher.", examples=[4711])]
    created_at: Annotated[str, Field(description="When it happened, UTC.", examples=["2026-11-23T22:00:00Z"])]
    operation: Annotated[
        str,
        Field(
            description="What was done: the operationId of a request, or `sign_in`, `sign_in_failed`.",
            examples=["create_server"],
        ),
    ]
    subject: Annotated[str, Field(description="What it was done to; may be empty.", examples=["server 12"])]
    account_id: Annotated[
        int | None,
        Field(description="Whose token did it; null: root on the host, or somebody unknown.", examples=[3]),
    ]
    token_id: Annotated[
        int | None, Field(description="The token it was done with; null: none was needed.", examples=[7])
    ]
    token_name: Annotated[str | None, Field(description="That token's name at the time.", examples=["laptop"])]
    client_address: Annotated[
        str | None, Field(description="The address that the request came from.", examples=["203.0.113.9"])
    ]
    request_id: Annotated[
        str | None,
        Field(description="The request's `X-Request-Id`.", examples=["0193f1c2a7b84f0e9d3c5a6b7e8f9012"]),
    ]
    details: Annotated[
        dict[str, str],
        Field(description="More about it, for example a reason.", examples=[{"reason": "unpaid"}]),
    ]


def shown(row: Record) -> AuditEntry:
    """Return an entry as the API shows it."""
    return {
        "id": row.id,
        "created_at": iso(row.created_at),
        "operation": row.operation,
        "subject": row.subject,
        "account_id": row.account_id,
        "token_id": row.token_id,
        "token_name": row.token_name,
        "client_address": str(row.client_address) if row.client_address else None,
        "request_id": row.request_id,
        "details": row.details,
    }


async def _operation(
    operation: Annotated[
        str | None, Query(max_length=MAX_TEXT, description="Only entries of this operation.", examples=["sign_in"])
    ] = None,
) -> str | None:
    return _clean("operation", operation)


async def _subject(
    subject: Annotated[
        str | None, Query(max_length=MAX_TEXT, description="Only entries about this.", examples=["server 12"])
    ] = None,
) -> str | None:
    return _clean("subject", subject)


def _clean(name: str, value: str | None) -> str | None:
    if value is not None and "\x00" in value:  # PostgreSQL's text has no such character
        raise InvalidFields({name: ["Printable text."]})
    return value


async def _since(
    since: Annotated[
        str | None,
        Query(
            description="Only entries from this moment on, ISO 8601.",
            examples=["2026-11-01T00:00:00Z"],
            json_schema_extra={"format": "date-time"},
        ),
    ] = None,
) -> datetime | None:
    if since is None:
        return None
    try:
        moment = datetime.fromisoformat(since.replace(" ", "+"))  # a `+` that wasn't encoded
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidFields({"since": ["A moment in ISO 8601, like 2026-11-01T00:00:00Z."]}) from None


Operation = Annotated[str | None, Depends(_operation)]
Subject = Annotated[str | None, Depends(_subject)]
Since = Annotated[datetime | None, Depends(_since)]


@router.get("/account/audit/", tags=["account"])
async def list_audit_entries(
    *,
    request: Request,
    caller: Annotated[Caller, guard("account:read")],
    conn: Conn,
    at: Annotated[Page, Depends(page)],
    operation: Operation,
    since: Since,
) -> Listing[AuditEntry]:
    """List what was done with your account, newest first: changes by each of your tokens, and sign-ins."""
    wanted = queries.Filter(caller.account_id, operation=operation, since=since)
    return await _listed(request, conn, at, wanted)


@router.get("/admin/audit/", tags=["admin"])
async def list_all_audit_entries(
    *,
    request: Request,
    caller: Annotated[Caller, guard("accounts:read", operator=True)],  # noqa: ARG001 -- the guard is what it is for
    conn: Conn,
    at: Annotated[Page, Depends(page)],
    operation: Operation,
    subject: Subject,
    since: Since,
    account_id: Annotated[
        int | None, Query(ge=1, le=MAX_ID, description="Only what this account did.", examples=[3])
    ] = None,
) -> Listing[AuditEntry]:
    """List what was done by every account and by commands on the host, newest first. For operators."""
    wanted = queries.Filter(account_id, operation=operation, subject=subject, since=since)
    return await _listed(request, conn, at, wanted)


async def _listed(request: Request, conn: Connection, at: Page, wanted: queries.Filter) -> Listing[AuditEntry]:
    count, rows = await queries.entries(conn, wanted, offset=at.offset, limit=at.size)
    return listing(request, at, count, [shown(row) for row in rows])
