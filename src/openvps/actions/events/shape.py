"""An event as the API shows it, and as a line of the stream."""

import json
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from openvps.core.clock import iso
from openvps.core.db import Record

KINDS = {  # every kind there is, and when it comes
    "server.created": "a server was asked for",
    "server.status": "a server's status changed",
    "server.deleted": "a server is gone, with its disk and addresses",
    "action.begun": "something was asked for that takes its time",
    "action.completed": "it is done",
    "action.failed": "it failed; `error` says why",
    "action.cancelled": "something else was asked for meanwhile that made an end of it",
    "backup.completed": "a backup is stored",
    "backup.failed": "a backup could not be made; `error` says why",
    "backup.verified": "a backup was restored in a machine of its own, and is good",
    "backup.verify_failed": "it was tried, and isn't; `error` says why",
    "account.notice": "the account was told something about its credit",
}
MISSED = "missed"  # in the stream only: some events before the next one are no longer kept


class Event(TypedDict):
    """Something that happened."""

    id: Annotated[int, Field(description="Its number in your account: 1, 2, 3, …, without a gap.", examples=[4711])]
    kind: Annotated[str, Field(description="What happened.", examples=["server.status"])]
    created_at: Annotated[str, Field(description="When, UTC.", examples=["2026-11-23T14:30:08Z"])]
    server_id: Annotated[
        int | None, Field(description="The server that it is about; null where it is about none.", examples=[12345])
    ]
    data: Annotated[
        dict[str, Any],
        Field(
            description="What it is about, as it was then: `server` and `previous_status`, `action`, `backup` or "
            "`notice`.",
            examples=[
                {
                    "server": {
                        "id": 12345,
                        "uuid": "6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64",
                        "name": "web-server-01",
                        "status": "active",
                    },
                    "previous_status": "provisioning",
                    "error": None,
                }
            ],
        ),
    ]


def shown(row: Record) -> Event:
    """Return an event as the API shows it."""
    return {
        "id": row.number,
        "kind": row.kind,
        "created_at": iso(row.created_at),
        "server_id": row.server_id,
        "data": row.data,
    }


def frame(row: Record) -> bytes:
    """Return an event as the stream has it."""
    return _frame(row.kind, json.dumps(shown(row), separators=(",", ":")), row.number)


def missed(after: int, before: int) -> bytes:
    """Return what tells a stream that the events between two numbers are no longer kept."""
    return _frame(MISSED, json.dumps({"after": after, "before": before}), None)


def _frame(kind: str, data: str, number: int | None) -> bytes:
    number_line = "" if number is None else f"id: {number}\n"
    return f"{number_line}event: {kind}\ndata: {data}\n\n".encode()
