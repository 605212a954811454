"""An account's books as the API shows them: amounts are exact, as texts."""

from collections.abc import AsyncIterable
from datetime import datetime
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from openvps.billing.books import Used
from openvps.billing.forecast import Forecast, forecast
from openvps.billing.invoices import exact, gigabytes
from openvps.core.clock import iso
from openvps.core.db import Record
from openvps.core.money import MICRO
from openvps.core.settings import Settings


class Entry(TypedDict):
    """An entry of the ledger; the balance is the sum of all."""

    id: Annotated[int, Field(description="The entry's id.", examples=[4711])]
    at: Annotated[
        str, Field(description="When, UTC; of a charge: when its hour began.", examples=["2026-11-23T14:30:00Z"])
    ]
    kind: Annotated[
        str,
        Field(
            description="`hour` or `traffic` (a server's), `credit` (a payment) or `adjustment`.", examples=["hour"]
        ),
    ]
    amount: Annotated[str, Field(description="Less than 0: a charge.", examples=["-0.014880"])]
    server_id: Annotated[int | None, Field(description="The server's id; null: no server's.", examples=[12345])]
    server_name: Annotated[
        str | None, Field(description="The server's name when it was made; null: no server's.", examples=["web-1"])
    ]
    traffic_gb: Annotated[
        float | None,
        Field(
            description="GB of traffic beyond what is included, less than 0 where a larger plan includes them later;"
            " null: it is for none.",
            examples=[None],
        ),
    ]
    reason: Annotated[str, Field(description="What was said of it.", examples=["bank transfer of May 3"])]


class Traffic(TypedDict):
    """A server's traffic this month; it counts in the direction in which it is larger."""

    used_gb: Annotated[float, Field(description="GB received or sent so far, the larger of both.", examples=[12.5])]
    included_gb: Annotated[
        float,
        Field(
            description="GB that are included, if the server stays; after its end, for the hours that it had.",
            examples=[2048.0],
        ),
    ]
    cost: Annotated[str, Field(description="What the GB beyond these have cost so far.", examples=["0.000000"])]
    forecast: Annotated[
        str,
        Field(description="What they will have cost at the month's end, at its pace so far.", examples=["0.000000"]),
    ]


class ServerCost(TypedDict):
    """What a server costs this month."""

    server_id: Annotated[int, Field(description="The server's id.", examples=[12345])]
    server_name: Annotated[str, Field(description="The server's name when it was made.", examples=["web-1"])]
    deleted: Annotated[bool, Field(description="Whether it is deleted.", examples=[False])]
    hours: Annotated[int, Field(description="Hours of this month that it has begun.", examples=[24])]
    traffic: Annotated[Traffic, Field(description="Its traffic.")]
    cost: Annotated[str, Field(description="What hours and traffic cost.", examples=["0.357142"])]
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
    """What your account was told about its credit and its backups."""

    id: Annotated[int, Field(description="The notice's id.", examples=[17])]
    kind: Annotated[
        str,
        Field(
            description="`low`, `empty`, `suspended`, `restored`, `deletion`, `deletion_called_off`, "
            "`backup_failed` or `backup_unverified`.",
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
        "traffic_gb": gigabytes(row.traffic_bytes) if row.traffic_bytes is not None else None,
        "reason": row.reason,
    }


def notice(row: Record) -> Notice:
    """Return a notice as the API shows it."""
    return {"id": row.id, "kind": row.kind, "text": row.text, "created_at": iso(row.created_at)}


async def usage(servers: AsyncIterable[list[Used]], settings: Settings, at: datetime) -> Usage:
    """Return what servers cost in the month of `at`."""
    shown: list[ServerCost] = []
    micro = whole_micro = 0
    async for some in servers:
        for one in some:
            cost = forecast(one, int(settings.traffic_price * MICRO), at)
            shown.append(_server(one, cost))
            micro += cost.micro
            whole_micro += cost.whole_micro
    return {
        "month": f"{at:%Y-%m}",
        "currency": settings.currency,
        "cost": exact(micro),
        "forecast": exact(whole_micro),
        "servers": shown,
    }


def _server(used: Used, cost: Forecast) -> ServerCost:
    return {
        "server_id": used.server.server_id,
        "server_name": used.name,
        "deleted": used.server.ended_at is not None,
        "hours": cost.hours,
        "traffic": {
            "used_gb": gigabytes(used.traffic.used_bytes),
            "included_gb": gigabytes(cost.included_bytes),
            "cost": exact(cost.traffic_micro),
            "forecast": exact(cost.whole_traffic_micro),
        },
        "cost": exact(cost.micro),
        "forecast": exact(cost.whole_micro),
    }
