"""`/admin/consistency-reports/`: whether engine and database agree. A worker looks: the API has no engine."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from openvps.accounts import audit
from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.compute.consistency import nights, queries
from openvps.compute.consistency.shape import NewReport, Report, ReportDetail, detail, shown
from openvps.core.clock import now
from openvps.core.errors import NotFound
from openvps.core.paging import Listing, Page, listing, page
from openvps.core.requests import Body, Reference, accepts, body_of

router = APIRouter(tags=["operations"], route_class=Route)

Reader = Annotated[Caller, guard("operations:read", operator=True)]
Writer = Annotated[Caller, guard("operations:write", operator=True)]


@router.get("/admin/consistency-reports/")
async def list_consistency_reports(
    request: Request,
    _caller: Reader,
    conn: Conn,
    at: Annotated[Page, Depends(page)],
) -> Listing[Report]:
    """List the looks at whether engine and database agree, newest first. For operators."""
    count, rows = await queries.reports(conn, offset=at.offset, limit=at.size)
    return listing(request, at, count, [shown(row) for row in rows])


@router.post("/admin/consistency-reports/", status_code=201, openapi_extra=accepts(NewReport))
async def check_consistency(
    caller: Writer, conn: Conn, body: Annotated[Body[NewReport], Depends(body_of(NewReport))]
) -> Report:
    """Have a worker look whether engine and database agree, and mend what it can if so asked. For operators.

    What is only on its way is left alone. Read the report until its status is `completed`.
    """
    fields = body.check()
    number = await nights.ask(conn, asked_by=f"account {caller.account_id}", repair=fields.repair, at=now())
    await audit.record(
        conn, caller, "check_consistency", f"consistency report {number}", repair=str(fields.repair).lower()
    )
    row = await queries.report_row(conn, number)
    if row is None:
        raise LookupError(f"report {number} vanished in its own transaction")
    return shown(row)


@router.get("/admin/consistency-reports/{reference_id}/")
async def get_consistency_report(reference_id: Reference, _caller: Reader, conn: Conn) -> ReportDetail:
    """Show one look, with what it found. For operators."""
    row = await queries.report_row(conn, reference_id)
    if row is None:
        raise NotFound
    return detail(row)
