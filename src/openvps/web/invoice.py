"""`/account/invoices/{month}/`: an invoice as JSON, as CSV, and as a page to read and print."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.billing.invoices import Invoice, invoice
from openvps.core import spreadsheet
from openvps.core.query import Parameter, asks
from openvps.web.site import asset, environment

router = APIRouter(tags=["billing"], route_class=Route)

FORMAT = Parameter(
    "format",
    "`csv`: its lines as a table; `html`: a page to print.",
    {"type": "string", "enum": ["json", "csv", "html"], "default": "json"},
)
SHOWN = {"pattern": "^20[0-9]{2}-(0[1-9]|1[0-2])$"}  # for the document: what isn't a month is 404 like any other
Month = Annotated[
    str, Path(description="Id of the invoice: its month.", examples=["2026-11"], json_schema_extra=SHOWN)
]
POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
COLUMNS = ("description", "server_id", "hours", "traffic_gb", "amount", "currency")
ANSWERS = spreadsheet.described(COLUMNS, ("web-1", 12345, 24, None, "0.357142", "USD"))
ANSWERS[200]["content"]["text/html"] = {"schema": {"type": "string"}, "example": "<!doctype html>…"}


@router.get(
    "/account/invoices/{reference_id}/", openapi_extra=asks(FORMAT), response_model=Invoice, responses=ANSWERS
)
async def get_invoice(
    request: Request, reference_id: Month, caller: Annotated[Caller, guard("account:read")], conn: Conn
) -> Invoice | Response:
    """Show a month's invoice, named by its month."""
    wanted = spreadsheet.wanted(request, FORMAT)
    made = await invoice(conn, caller.account_id, reference_id, request.app.state.settings.currency)
    if wanted == "csv":
        return spreadsheet.answer(f"invoice-{made['id']}", COLUMNS, lines(made))
    if wanted == "html":
        headers = {
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
        return Response(page(made, request.app.state.site.base_path), media_type="text/html", headers=headers)
    return made


def lines(made: Invoice) -> Iterator[tuple[spreadsheet.Cell, ...]]:
    """Yield an invoice's lines as cells, and its total as the last."""
    for line in made["lines"]:
        yield (
            spreadsheet.plain(line["description"]),
            line["server_id"],
            line["hours"],
            line["traffic_gb"],
            line["amount"],
            made["currency"],
        )
    yield ("total", None, None, None, made["total"], made["currency"])


def page(made: Invoice, base_path: str) -> str:
    """Return an invoice as HTML."""
    style = f"{base_path}/docs/{asset('invoice.css')}"
    return environment().get_template("invoice.html").render(invoice=made, style=style)
