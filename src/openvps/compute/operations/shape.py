"""Cells, locations and actions as an operator sees them, and what is asked of them."""

from typing import Annotated

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from openvps.core.clock import iso
from openvps.core.db import Record

MOST = 10_000
Text = Annotated[str, Field(strict=True, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Pause(BaseModel):
    """What pausing takes."""

    reason: Annotated[Text, Field(description="Why; operators see it.", examples=["new disks on Thursday"])] = ""


class Ending(BaseModel):
    """What cancelling an action takes."""

    reason: Annotated[
        Text, Field(description="Why; its customer reads it on the action.", examples=["its host has failed"])
    ] = ""


class CellChange(BaseModel):
    """What `PATCH /admin/cells/{id}/` takes."""

    creates_at_once: Annotated[
        int | None,
        Field(
            strict=True,
            ge=1,
            le=MOST,
            description="How many servers are made in it at once; null: the installation's setting.",
            examples=[8],
        ),
    ]


class AdminCell(TypedDict):
    """A cell: an endpoint of the engine, with its room."""

    id: Annotated[int, Field(description="The cell's id.", examples=[1])]
    name: Annotated[str, Field(description="The cell's name.", examples=["local"])]
    location: Annotated[str, Field(description="Code of the location that it is in.", examples=["us-west"])]
    servers: Annotated[int, Field(description="How many servers it has.", examples=[12])]
    being_made: Annotated[int, Field(description="How many servers are being made in it.", examples=[1])]
    waiting: Annotated[int, Field(description="How many servers wait for their turn to be made.", examples=[0])]
    creates_at_once: Annotated[int, Field(description="How many servers are made in it at once.", examples=[32])]
    used_vcpus: Annotated[int, Field(description="vCPUs that its servers take.", examples=[24])]
    room_vcpus: Annotated[int, Field(description="vCPUs that it has for servers.", examples=[64])]
    used_memory_mib: Annotated[int, Field(description="Memory that its servers take, in MiB.", examples=[24576])]
    room_memory_mib: Annotated[int, Field(description="Memory that it has for servers, in MiB.", examples=[64512])]
    used_storage_gb: Annotated[int, Field(description="Disk that its servers take, in GB.", examples=[480])]
    room_storage_gb: Annotated[int, Field(description="Disk that it has for servers, in GB.", examples=[3600])]
    seen_at: Annotated[
        str | None, Field(description="When it answered last, UTC.", examples=["2026-11-25T14:30:00Z"])
    ]
    away_at: Annotated[str | None, Field(description="Since when it doesn't answer, UTC.", examples=[None])]
    away_reason: Annotated[str | None, Field(description="What came of asking it.", examples=[None])]
    paused_at: Annotated[
        str | None, Field(description="Since when it takes no new servers, UTC; null: it does.", examples=[None])
    ]
    paused_reason: Annotated[str, Field(description="Why it takes none.", examples=[""])]


class AdminLocation(TypedDict):
    """A location, and whether new servers are made there."""

    id: Annotated[int, Field(description="The location's id.", examples=[1])]
    code: Annotated[str, Field(description="Its code: what `location` names.", examples=["us-west"])]
    name: Annotated[str, Field(description="Its name.", examples=["US West"])]
    paused_at: Annotated[
        str | None, Field(description="Since when it takes no new servers, UTC; null: it does.", examples=[None])
    ]
    paused_reason: Annotated[str, Field(description="Why it takes none.", examples=[""])]


class AdminAction(TypedDict):
    """An unfinished action of anybody's."""

    id: Annotated[int, Field(description="The action's id.", examples=[4711])]
    uuid: Annotated[str, Field(description="The action's UUID.", examples=["6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64"])]
    kind: Annotated[
        str, Field(description="What is done: the thing's kind, and the verb.", examples=["server.create"])
    ]
    subject_id: Annotated[int, Field(description="The id of what it is done to.", examples=[12345])]
    subject_status: Annotated[
        str | None, Field(description="The status of that; null: there is no such thing.", examples=["provisioning"])
    ]
    account_id: Annotated[int, Field(description="Whose it is.", examples=[3])]
    cell: Annotated[str | None, Field(description="The cell that it is in.", examples=["local"])]
    progress: Annotated[int, Field(description="How far it is, in percent of its steps.", examples=[25])]
    stuck: Annotated[
        bool,
        Field(
            description="Whether its cell is away, nobody is to look, or it has gone on for ten minutes.",
            examples=[True],
        ),
    ]
    cancelled_for: Annotated[
        str | None, Field(description="Why an operator wants it ended; null: none does.", examples=[None])
    ]
    created_at: Annotated[str, Field(description="When it was asked for, UTC.", examples=["2026-11-25T14:30:00Z"])]
    deadline_at: Annotated[
        str | None, Field(description="When it is given up, UTC; null: never.", examples=["2026-11-25T14:35:00Z"])
    ]
    look_at: Annotated[
        str | None, Field(description="When a worker looks next, UTC; null: none will.", examples=[None])
    ]


def cell(row: Record) -> AdminCell:
    """Return a cell as an operator sees it."""
    return {
        "id": row.id,
        "name": row.name,
        "location": row.location,
        "servers": row.servers,
        "being_made": row.being_made,
        "waiting": row.waiting,
        "creates_at_once": row.creates_at_once,
        "used_vcpus": row.used_vcpus,
        "room_vcpus": row.room_vcpus,
        "used_memory_mib": row.used_memory_mib,
        "room_memory_mib": row.room_memory_mib,
        "used_storage_gb": row.used_storage_gb,
        "room_storage_gb": row.room_storage_gb,
        "seen_at": iso(row.seen_at) if row.seen_at else None,
        "away_at": iso(row.away_at) if row.away_at else None,
        "away_reason": row.away_reason,
        "paused_at": iso(row.paused_at) if row.paused_at else None,
        "paused_reason": row.paused_reason,
    }


def location(row: Record) -> AdminLocation:
    """Return a location as an operator sees it."""
    return {
        "id": row.id,
        "code": row.code,
        "name": row.name,
        "paused_at": iso(row.paused_at) if row.paused_at else None,
        "paused_reason": row.paused_reason,
    }


def action(row: Record) -> AdminAction:
    """Return an unfinished action as an operator sees it."""
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "kind": row.kind,
        "subject_id": row.subject_id,
        "subject_status": row.subject_status,
        "account_id": row.account_id,
        "cell": row.cell,
        "progress": row.progress,
        "stuck": row.stuck,
        "cancelled_for": row.cancelled_for,
        "created_at": iso(row.created_at),
        "deadline_at": iso(row.deadline_at) if row.deadline_at else None,
        "look_at": iso(row.look_at) if row.look_at else None,
    }
