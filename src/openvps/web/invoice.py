"""`/account/invoices/{month}/`: an invoice as JSON, as CSV, and as a page to read and print."""

import csv
import io
from typing import Annotated

from fastapi import APIRouter, Request, Response

from openvps.accounts.auth import Caller, guard
from openvps.accounts.route import Route
from openvps.accounts.transaction import Conn
from openvps.billing.invoices import Invoice, invoice
from openvps.core.errors import InvalidFields
from openvps.core.query import Parameter, asks
from openvps.web.site import asset, environment

router = APIRouter(tags=["billing"], route_class=Route)

FORMAT = Parameter(
    "format",
    "`csv`: its lines as a table; `html`: a page to print.",
    {"type": "string", "enum": ["json", "csv", "html"], "default": "json"},
)
POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
COLUMNS = ("description", "server_id", "hours", "amount")


@router.get("/account/invoices/{reference_id}/", openapi_extra=asks(FORMAT), response_model=Invoice)
async def get_invoice(
    request: Request, reference_id: str, caller: Annotated[Caller, guard("account:read")], conn: Conn
) -> Invoice | Response:
    """Show a month's invoice, named by its month."""
    wanted = request.query_params.get("format", "json")
    if wanted not in FORMAT.schema["enum"]:
        raise InvalidFields({"format": ["One of json, csv, html."]})
    made = await invoice(conn, caller.account_id, reference_id, request.app.state.settings.currency)
    if wanted == "csv":
        name = f'attachment; filename="invoice-{made["id"]}.csv"'
        return Response(table(made), media_type="text/csv", headers={"Content-Disposition": name})
    if wanted == "html":
        headers = {
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
        return Response(page(made, request.app.state.site.base_path), media_type="text/html", headers=headers)
    return made


def table(made: Invoice) -> str:
    """Return an invoice's lines as CSV, and its total as the last."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow((*COLUMNS, "currency"))
    for line in made["lines"]:
        writer.writerow(
            (_text(line["description"]), line["server_id"], line["hours"], line["amount"], made["currency"])
        )
    writer.writerow(("total", "", "", made["total"], made["currency"]))
    return out.getvalue()


def _text(cell: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


def page(made: Invoice, base_path: str) -> str:
    """Return an invoice as HTML."""
    style = f"{base_path}/docs/{asset('invoice.css')}"
    return environment().get_template("invoice.html").render(invoice=made, style=style)
