"""`/account/ledger/`, `/usage/`, `/invoices/` and `/notices/`: an account's money, for its owner."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.billing import books, notices, shape
from openvps.billing.invoices import InvoiceSummary, month_of, summary
from openvps.core.clock import now
from openvps.core.paging import Listing, Page, listing, page

router = APIRouter(tags=["billing"], route_class=Route)

Reader = Annotated[Caller, guard("account:read")]
At = Annotated[Page, Depends(page)]


@router.get("/account/ledger/")
async def list_ledger_entries(request: Request, caller: Reader, conn: Conn, at: At) -> Listing[shape.Entry]:
    """List what was charged and paid, newest first."""
    count, rows = await books.entries(conn, caller.account_id, offset=at.offset, limit=at.size)
    return listing(request, at, count, [shape.entry(row) for row in rows])


@router.get("/account/usage/")
async def get_usage(request: Request, caller: Reader, conn: Conn) -> shape.Usage:
    """Show what this month costs by server, so far and to its end."""
    servers = await books.metered(conn, caller.account_id, month_of(now())[0])
    return shape.usage(servers, request.app.state.settings.currency)


@router.get("/account/invoices/")
async def list_invoices(request: Request, caller: Reader, conn: Conn, at: At) -> Listing[InvoiceSummary]:
    """List the months' invoices, newest first; that of the present month grows."""
    rows = await books.months(conn, caller.account_id)
    currency = request.app.state.settings.currency
    shown = [summary(row, currency) for row in rows[at.offset : at.offset + at.size]]
    return listing(request, at, len(rows), shown)


@router.get("/account/notices/")
async def list_notices(request: Request, caller: Reader, conn: Conn, at: At) -> Listing[shape.Notice]:
    """List what you were told about your credit, newest first."""
    count, rows = await notices.page(conn, caller.account_id, offset=at.offset, limit=at.size)
    return listing(request, at, count, [shape.notice(row) for row in rows])
