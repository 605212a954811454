"""An account's books as the API shows them: amounts are exact, as texts."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from openvps.billing.books import Used
from openvps.billing.invoices import exact, month_of
from openvps.core.clock import iso, now
from openvps.core.db import Record


class Entry(TypedDict):
    """An entry of the ledger; the balance is the sum of all."""

    id: Annotated[int, Field(description="The entry's id.", examples=[4711])]
    at: Annotated[
        str, Field(description="When, UTC; of a charge: when its hour began.", examples=["2026-11-23T14:30:00Z"])
    ]
    kind: Annotated[
        str, Field(description="`hour` (a server's), `credit` (a payment) or `adjustment`.", examples=["hour"])
    ]
    amount: Annotated[str, Field(description="Less than 0: a charge.", examples=["-0.014880"])]
    server_id: Annotated[int | None, Field(description="The server's id; null: no server's.", examples=[12345])]
    server_name: Annotated[
        str | None, Field(description="The server's name when it was made; null: no server's.", examples=["web-1"])
    ]
    reason: Annotated[str, Field(description="What was said of it.", examples=["bank transfer of May 3"])]


class ServerCost(TypedDict):
    """What a server costs this month."""

    server_id: Annotated[int, Field(description="The server's id.", examples=[12345])]
    server_name: Annotated[str, Field(description="The server's name when it was made.", examples=["web-1"])]
    deleted: Annotated[bool, Field(description="Whether it is deleted.", examples=[False])]
    hours: Annotated[int, Field(description="Hours of this month that it has begun.", examples=[24])]
    cost: Annotated[str, Field(description="What they cost.", examples=["0.357142"])]
    forecast: Annotated[
        str, Field(description="What the whole month costs if it stays as it is.", examples=["10.000000"])
    ]


class Usage(TypedDict):
    """What an account's servers cost this month."""

    month: Annotated[str, Field(description="The month, UTC.", examples=["2026-11"])]
    currency: Annotated[str, Field(description="The currency, ISO 4217.", examples=["USD"])]
    cost: Annotated[str, Field(description="What this month cost so far.", examples=["0.357142"])]
    forecast: Annotated[
        str, Field(description="What the whole month costs if all stays as it is.", examples=["10.000000"])
    ]
    servers: Annotated[list[ServerCost], Field(description="The same by server; deleted ones of this month too.")]


class Notice(TypedDict):
    """What your account was told about its credit."""

    id: Annotated[int, Field(description="The notice's id.", examples=[17])]
    kind: Annotated[
        str,
        Field(
            description="`low`, `empty`, `suspended`, `restored`, `deletion` or `deletion_called_off`.",
            examples=["low"],
        ),
    ]
    text: Annotated[str, Field(description="What was told, and what to do.", examples=["Add credit."])]
    created_at: Annotated[str, Field(description="When, UTC.", examples=["2026-11-23T14:30:00Z"])]


def entry(row: Record) -> Entry:
    """Return an entry as the API shows it."""
    return {
        "id": row.id,
        "at": iso(row.at),
        "kind": row.kind,
        "amount": exact(row.amount_micro),
        "server_id": row.server_id,
        "server_name": row.name,
        "reason": row.reason,
    }


def notice(row: Record) -> Notice:
    """Return a notice as the API shows it."""
    return {"id": row.id, "kind": row.kind, "text": row.text, "created_at": iso(row.created_at)}


def usage(servers: list[Used], currency: str) -> Usage:
    """Return what servers cost in the present month: what is charged, and the rest by their rates."""
    at = now()
    _, end = month_of(at)
    told: list[ServerCost] = []
    cost = forecast = 0
    for each in servers:
        one = each.metered
        hours, by_rates = one.month_until(at, at)
        due = by_rates - one.month_until(at, one.due_at)[1]
        so_far = each.charged_micro + due
        whole = so_far + one.month_until(at, end)[1] - by_rates
        cost, forecast = cost + so_far, forecast + whole
        told.append(
            {
                "server_id": one.server_id,
                "server_name": each.name,
                "deleted": one.ended_at is not None,
                "hours": hours,
                "cost": exact(so_far),
                "forecast": exact(whole),
            }
        )
    return {
        "month": f"{at:%Y-%m}",
        "currency": currency,
        "cost": exact(cost),
        "forecast": exact(forecast),
        "servers": told,
    }
