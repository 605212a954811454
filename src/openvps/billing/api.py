"""`/account/ledger/`, `/usage/`, `/invoices/` and `/notices/`: an account's money, for its owner; also as CSV."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.billing import books, export, notices, shape
from openvps.billing.hours import month_of
from openvps.billing.invoices import InvoiceSummary, named, summary
from openvps.core import spreadsheet
from openvps.core.clock import now
from openvps.core.errors import InvalidFields
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.query import Parameter, asks

router = APIRouter(tags=["billing"], route_class=Route)

Reader = Annotated[Caller, guard("account:read")]
At = Annotated[Page, Depends(page)]
MONTH = Parameter(
    "month",
    "Only entries of this month, UTC, like `2026-11`. CSV without it: the present month.",
    {"type": "string", "pattern": r"^20\d\d-(0[1-9]|1[0-2])$"},
)


@router.get(
    "/account/ledger/",
    openapi_extra=asks(MONTH, spreadsheet.FORMAT),
    response_model=Listing[shape.Entry],
    responses=export.LEDGER,
)
async def list_ledger_entries(
    request: Request, caller: Reader, conn: Conn, at: At
) -> Listing[shape.Entry] | Response:
    """List what was charged and paid, newest first; as CSV oldest first, a month at most."""
    span = _span(request)
    if spreadsheet.wanted(request) == "csv":
        return await export.ledger(conn, caller.account_id, span or month_of(now()))
    count, rows = await books.entries(conn, caller.account_id, span, offset=at.offset, limit=at.size)
    return listing(request, at, count, [shape.entry(row) for row in rows])


def _span(request: Request) -> books.Span:
    """Return the month that is asked for. Raises InvalidFields."""
    month = request.query_params.get("month")
    if month is None:
        return None
    span = named(month)
    if span is None:
        raise InvalidFields({"month": ["A month like 2026-11."]})
    return span


@router.get(
    "/account/usage/",
    openapi_extra=asks(spreadsheet.FORMAT),
    response_model=shape.Usage,
    responses=export.USAGE,
)
async def get_usage(request: Request, caller: Reader, conn: Conn) -> shape.Usage | Response:
    """Show what this month costs by server, so far and to its end."""
    wanted = spreadsheet.wanted(request)
    at = now()
    usage = await shape.usage(books.used(conn, caller.account_id, at), request.app.state.settings, at)
    return export.usage(usage) if wanted == "csv" else usage


@router.get(
    "/account/invoices/",
    openapi_extra=asks(spreadsheet.FORMAT),
    response_model=Listing[InvoiceSummary],
    responses=export.INVOICES,
)
async def list_invoices(request: Request, caller: Reader, conn: Conn, at: At) -> Listing[InvoiceSummary] | Response:
    """List the months' invoices, newest first; that of the present month grows."""
    wanted = spreadsheet.wanted(request)
    currency = request.app.state.settings.currency
    told = [summary(row, currency) for row in await books.months(conn, caller.account_id)]
    if wanted == "csv":
        return export.invoices(told)
    return listing(request, at, len(told), told[at.offset : at.offset + at.size])


@router.get("/account/notices/")
async def list_notices(request: Request, caller: Reader, conn: Conn, at: At) -> Listing[shape.Notice]:
    """List what you were told about your credit, newest first."""
    count, rows = await notices.page(conn, caller.account_id, offset=at.offset, limit=at.size)
    return listing(request, at, count, [shape.notice(row) for row in rows])
