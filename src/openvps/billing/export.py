"""An account's books as CSV: the columns are the fields of the API, amounts are exact."""

from collections.abc import Sequence
from datetime import datetime

from fastapi import Response

from openvps.billing import books, shape
from openvps.billing.invoices import InvoiceSummary
from openvps.core import spreadsheet
from openvps.core.db import Connection
from openvps.core.errors import BadRequest

CHUNK = 2_000  # entries read at once
MOST = 50_000  # entries of a file: a month of 67 servers

ENTRY = ("id", "at", "kind", "amount", "server_id", "server_name", "traffic_gb", "reason")
TRAFFIC = ("used_gb", "included_gb", "cost", "forecast")
SERVER = (
    *("server_id", "server_name", "deleted", "hours", *(f"traffic_{name}" for name in TRAFFIC)),
    *("cost", "forecast", "currency"),
)
INVOICE = ("id", "currency", "total")

# for the OpenAPI document
LEDGER = spreadsheet.described(ENTRY, (4711, "2026-11-23T14:30:00Z", "hour", "-0.014880", 12345, "web-1", None, ""))
USAGE = spreadsheet.described(
    SERVER,
    (12345, "web-1", False, 24, 12.5, 2048.0, "0.000000", "0.000000", "0.357142", "10.000000", "USD"),
)
INVOICES = spreadsheet.described(INVOICE, ("2026-11", "USD", "12.34"))


async def ledger(conn: Connection, account_id: int, span: tuple[datetime, datetime]) -> Response:
    """Return the entries of a month. Raises BadRequest where they are too many for one file."""
    rows: list[tuple[spreadsheet.Cell, ...]] = []
    after: tuple[datetime, int] | None = None
    while chunk := await books.some_by_time(conn, account_id, span, after=after, limit=CHUNK):
        rows += [_entry(shape.entry(row)) for row in chunk]
        after = chunk[-1].at, chunk[-1].id
        if len(rows) > MOST:
            raise BadRequest(f"More than {MOST} entries are too many for a table. Read the pages of JSON instead.")
    return spreadsheet.answer(f"ledger-{span[0]:%Y-%m}", ENTRY, rows)


def _entry(one: shape.Entry) -> tuple[spreadsheet.Cell, ...]:
    name, reason = spreadsheet.plain(one["server_name"]), spreadsheet.plain(one["reason"])
    return (one["id"], one["at"], one["kind"], one["amount"], one["server_id"], name, one["traffic_gb"], reason)


def usage(told: shape.Usage) -> Response:
    """Return what servers cost this month."""
    rows: list[tuple[spreadsheet.Cell, ...]] = [
        (
            one["server_id"],
            spreadsheet.plain(one["server_name"]),
            one["deleted"],
            one["hours"],
            one["traffic"]["used_gb"],
            one["traffic"]["included_gb"],
            one["traffic"]["cost"],
            one["traffic"]["forecast"],
            one["cost"],
            one["forecast"],
            told["currency"],
        )
        for one in told["servers"]
    ]
    return spreadsheet.answer(f"usage-{told['month']}", SERVER, rows)


def invoices(told: Sequence[InvoiceSummary]) -> Response:
    """Return the list of invoices."""
    return spreadsheet.answer("invoices", INVOICE, [(one["id"], one["currency"], one["total"]) for one in told])
