"""Invoices: a month's charges by server, made of the ledger, whose entries never change.

Amounts of lines are exact; the total is rounded once, from their exact sum.
"""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from openvps.billing import books
from openvps.billing.hours import month_of
from openvps.billing.queries import HOUR, TRAFFIC
from openvps.billing.traffic import GB
from openvps.core.db import Connection, Record
from openvps.core.errors import NotFound
from openvps.core.money import MICRO

_CENT = MICRO // 100
_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])\Z")


class Line(TypedDict):
    """What one server's hours or traffic cost, or one adjustment."""

    description: Annotated[str, Field(description="What it is for.", examples=["web-1"])]
    server_id: Annotated[int | None, Field(description="The server's id; null: no server's.", examples=[12345])]
    hours: Annotated[int | None, Field(description="How many hours were begun; null: none are meant.", examples=[24])]
    traffic_gb: Annotated[
        float | None,
        Field(description="GB of traffic beyond what is included; null: none are meant.", examples=[None]),
    ]
    amount: Annotated[str, Field(description="What it costs, exactly.", examples=["0.357142"])]


class InvoiceSummary(TypedDict):
    """A month's invoice in a list."""

    id: Annotated[str, Field(description="The month, UTC; it names the invoice.", examples=["2026-11"])]
    currency: Annotated[str, Field(description="The currency, ISO 4217.", examples=["USD"])]
    total: Annotated[str, Field(description="The sum, rounded once.", examples=["12.34"])]


class Invoice(InvoiceSummary):
    """A month's invoice."""

    final: Annotated[bool, Field(description="Whether the month is over and all of it is charged.", examples=[True])]
    customer: Annotated[str, Field(description="Whom it is for.", examples=["Ada Lovelace, Example Ltd"])]
    email: Annotated[str, Field(description="The account's e-mail address.", examples=["ada@example.com"])]
    lines: Annotated[list[Line], Field(description="What it is made of.")]


def exact(micro: int) -> str:
    """Write micro-units as a decimal number, all of it."""
    sign, micro = ("-", -micro) if micro < 0 else ("", micro)
    return f"{sign}{micro // MICRO}.{micro % MICRO:06}"


def gigabytes(number: int) -> float:
    """Return bytes in GB."""
    return round(int(number) / GB, 6)


def rounded(micro: int) -> str:
    """Write micro-units in whole cents, half a cent up."""
    cents = (abs(micro) + _CENT // 2) // _CENT
    return f"{'-' if micro < 0 and cents else ''}{cents // 100}.{cents % 100:02}"


def named(month: str) -> tuple[datetime, datetime] | None:
    """Return when the month that is called so (`2026-11`) begins and ends, None where it is none."""
    found = _MONTH.match(month)
    return month_of(datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)) if found else None


def summary(row: Record, currency: str) -> InvoiceSummary:
    """Return a month as it stands in the list."""
    return {"id": row.month, "currency": currency, "total": rounded(int(row.amount_micro))}


async def invoice(conn: Connection, account_id: int, month: str, currency: str) -> Invoice:
    """Return a month's invoice. Raises NotFound where nothing was charged, or `month` is none."""
    span = named(month)
    rows = await books.lines(conn, account_id, *span) if span else []
    if span is None or not rows:
        raise NotFound
    who = await books.owner(conn, account_id)
    person = f"{who.first_name} {who.last_name}".strip()
    return {
        "id": month,
        "currency": currency,
        "total": rounded(sum(int(row.amount_micro) for row in rows)),
        "final": await books.all_charged(conn, account_id, span[1]),
        "customer": ", ".join(one for one in (person, who.company_name) if one),
        "email": who.email,
        "lines": [_line(row) for row in rows],
    }


def _line(row: Record) -> Line:
    return {
        "description": row.name or row.reason or row.kind,
        "server_id": row.server_id,
        "hours": row.hours if row.kind == HOUR else None,
        "traffic_gb": gigabytes(row.traffic_bytes) if row.kind == TRAFFIC else None,
        "amount": exact(int(row.amount_micro)),
    }
