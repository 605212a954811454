"""Webhooks and deliveries as the API shows them, and what is asked for them."""

from typing import Annotated, Any

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from openvps.actions.webhooks.deliver import message_id
from openvps.core.clock import iso, now
from openvps.core.db import Record

MOST_OVERLAP_HOURS = 168

Text = Annotated[str, Field(strict=True, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Url = Annotated[
    str,
    Field(
        strict=True,
        description="Where events are sent: https:// and a name that the internet knows.",
        examples=["https://example.com/hooks/openvps"],
    ),
]
Kinds = Annotated[
    list[Annotated[str, Field(strict=True, max_length=100)]],
    Field(
        max_length=50,
        description="Which kinds of events are sent; none named: all of them.",
        examples=[["server.status", "backup.failed"]],
    ),
]
Description = Annotated[Text, Field(description="What it is for.", examples=["Pages the person on duty"])]


class NewWebhook(BaseModel):
    """What `POST /webhooks/` takes."""

    url: Url
    kinds: Kinds = []
    description: Description = ""


class ChangedWebhook(BaseModel):
    """What `PATCH /webhooks/{id}/` takes; what isn't given stays."""

    url: Url = ""
    kinds: Kinds = []
    description: Description = ""
    enabled: Annotated[
        bool,
        Field(strict=True, description="Whether events are sent; what happens meanwhile never is.", examples=[True]),
    ] = True


class NewSecret(BaseModel):
    """What rotating a webhook's secret takes."""

    overlap_hours: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=MOST_OVERLAP_HOURS,
            description="For how many hours the secret before signs as well; 0: it is known to others.",
            examples=[24],
        ),
    ] = 24


class Webhook(TypedDict):
    """An address that events are sent to."""

    id: Annotated[int, Field(description="The webhook's id.", examples=[12])]
    uuid: Annotated[str, Field(description="The webhook's UUID.", examples=["6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64"])]
    url: Annotated[str, Field(description="Where events are sent.", examples=["https://example.com/hooks/openvps"])]
    kinds: Annotated[list[str], Field(description="Which kinds are sent; empty: all.", examples=[["server.status"]])]
    description: Annotated[str, Field(description="What it is for.", examples=["Pages the person on duty"])]
    enabled: Annotated[bool, Field(description="Whether events are sent.", examples=[True])]
    disabled_reason: Annotated[
        str | None, Field(description="Why it was disabled, where we did it; else null.", examples=[None])
    ]
    failing_since: Annotated[
        str | None, Field(description="Since when no delivery succeeded, UTC; null: the last did.", examples=[None])
    ]
    previous_secret_until: Annotated[
        str | None,
        Field(description="Until when the secret before signs as well, UTC; null: it doesn't.", examples=[None]),
    ]
    created_at: Annotated[str, Field(description="When it was made, UTC.", examples=["2026-11-23T14:30:00Z"])]


class MadeWebhook(Webhook):
    """A webhook with a new secret, the one that verifies its deliveries: shown in this answer only."""

    secret: Annotated[
        str,
        Field(
            description="What verifies the deliveries' signatures. Keep it now: it is not shown again.",
            examples=["whsec_<44 letters, digits and signs>"],
        ),
    ]


class Delivery(TypedDict):
    """An event on its way to a webhook, or how it ended."""

    id: Annotated[int, Field(description="The delivery's id.", examples=[4711])]
    uuid: Annotated[str, Field(description="Its UUID.", examples=["6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64"])]
    webhook_id: Annotated[int, Field(description="The webhook that it is for.", examples=[12])]
    message_id: Annotated[
        str,
        Field(
            description="The header `webhook-id`, the same at every attempt.",
            examples=["msg_6f8a2c1e4b7d4e0a9c352d1f0b8e7a64"],
        ),
    ]
    kind: Annotated[str, Field(description="The event's kind.", examples=["server.status"])]
    status: Annotated[
        str,
        Field(
            description="`pending`, `delivered`, or `failed`: it was given up after a day.", examples=["delivered"]
        ),
    ]
    attempts: Annotated[int, Field(description="How often it was sent.", examples=[1])]
    answer_status: Annotated[
        int | None, Field(description="The status of the last answer; null: there was none.", examples=[200])
    ]
    error: Annotated[str | None, Field(description="What was wrong the last time; null: nothing.", examples=[None])]
    next_at: Annotated[
        str | None, Field(description="When it is sent next, UTC, at the earliest; null: not again.", examples=[None])
    ]
    attempted_at: Annotated[
        str | None, Field(description="When it was sent last, UTC; null: not yet.", examples=["2026-11-23T14:30:08Z"])
    ]
    created_at: Annotated[str, Field(description="When the event was, UTC.", examples=["2026-11-23T14:30:08Z"])]
    body: Annotated[
        dict[str, Any],
        Field(
            description="What is sent: `type`, `timestamp`, the event's `id`, `server_id` and `data`.",
            examples=[
                {
                    "type": "server.deleted",
                    "timestamp": "2026-11-23T14:30:08Z",
                    "id": 4711,
                    "server_id": 12345,
                    "data": {"server": {"id": 12345, "name": "web-server-01", "status": "deleting"}},
                }
            ],
        ),
    ]


def shown(row: Record) -> Webhook:
    """Return a webhook as the API shows it."""
    until = row.previous_secret_until
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "url": row.url,
        "kinds": row.kinds,
        "description": row.description,
        "enabled": row.disabled_at is None,
        "disabled_reason": row.disabled_reason or None,
        "failing_since": iso(row.failing_since) if row.failing_since else None,
        "previous_secret_until": iso(until) if until is not None and until > now() else None,
        "created_at": iso(row.created_at),
    }


def delivery(row: Record) -> Delivery:
    """Return a delivery as the API shows it."""
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "webhook_id": row.webhook_id,
        "message_id": message_id(row),
        "kind": row.kind,
        "status": row.status,
        "attempts": row.attempts,
        "answer_status": row.answer_status,
        "error": row.error,
        "next_at": iso(row.next_at) if row.status == "pending" else None,
        "attempted_at": iso(row.attempted_at) if row.attempted_at else None,
        "created_at": iso(row.created_at),
        "body": row.body,
    }
