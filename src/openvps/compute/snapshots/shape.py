"""A snapshot as the API shows it, and what is asked for it."""

from typing import Annotated

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from openvps.compute.servers.fields import Ref
from openvps.core.clock import iso
from openvps.core.db import Record

_MB = 10**6
NAME_MOST = 64
Name = Annotated[str, Field(strict=True, min_length=1, max_length=NAME_MOST, pattern=r"^[A-Za-z0-9_-]+$")]
Text = Annotated[str, Field(strict=True, max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]


class NewSnapshot(BaseModel):
    """What `POST /snapshots/` takes."""

    server_id: Annotated[Ref, Field(description="The server.", examples=[12345])]
    name: Annotated[
        Name,
        Field(description="A name to know it by: letters, digits, `-` and `_`.", examples=["before-upgrade"]),
    ]
    description: Annotated[Text, Field(description="What it is for.", examples=["Before the upgrade to 2.0"])] = ""


class Labelled(BaseModel):
    """What `POST /servers/{id}/snapshot/` takes."""

    label: Annotated[
        Text | None, Field(description="What it is for; its name is made of it.", examples=["before upgrade"])
    ] = None


class ServerPart(TypedDict):
    """The server that a snapshot is of."""

    id: Annotated[int, Field(description="The server's id.", examples=[12345])]
    name: Annotated[str, Field(description="The server's name.", examples=["web-server-01"])]


class Snapshot(TypedDict):
    """A server's disk as it was; it is deleted with its server."""

    id: Annotated[int, Field(description="The snapshot's id.", examples=[31])]
    uuid: Annotated[str, Field(description="The snapshot's UUID.", examples=["6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64"])]
    server: Annotated[ServerPart, Field(description="The server that it is of.")]
    name: Annotated[str, Field(description="Its name.", examples=["before-upgrade"])]
    status: Annotated[
        str,
        Field(description="`in_progress`, `completed`, or `failed`: then there is nothing.", examples=["completed"]),
    ]
    size_mb: Annotated[
        float | None,
        Field(
            description="What it alone took on the disk when it was made, in MB: little, and more as the server "
            "changes. Null before it is there, and where it isn't known.",
            examples=[0.1],
        ),
    ]
    error: Annotated[str | None, Field(description="Why it failed; null where it didn't.", examples=[None])]
    created_at: Annotated[str, Field(description="When it was asked for, UTC.", examples=["2026-11-23T14:30:00Z"])]
    description: Annotated[str, Field(description="What it is for.", examples=["Before the upgrade to 2.0"])]


class Created(Snapshot):
    """A snapshot just asked for."""

    message: Annotated[str, Field(description="What happens now.", examples=["Snapshot is being made"])]
    action_id: Annotated[int, Field(description="The action to follow, at `/actions/{action_id}/`.", examples=[4711])]


class SnapshotPart(TypedDict):
    """The snapshot that is restored."""

    id: Annotated[int, Field(description="The snapshot's id.", examples=[31])]
    name: Annotated[str, Field(description="Its name.", examples=["before-upgrade"])]
    created_at: Annotated[str, Field(description="When it was asked for, UTC.", examples=["2026-11-23T14:30:00Z"])]


class RestoredServer(ServerPart):
    """The server, on its way."""

    status: Annotated[str, Field(description="`restoring`.", examples=["restoring"])]


class Restoring(TypedDict):
    """What a restore answers at once; the server gets there by itself."""

    status: Annotated[str, Field(description="`success`: the server is on its way.", examples=["success"])]
    message: Annotated[
        str, Field(description="What happens now.", examples=["Server is being restored from the snapshot"])
    ]
    snapshot: Annotated[SnapshotPart, Field(description="The snapshot that it is restored from.")]
    server: Annotated[RestoredServer, Field(description="The server that it happens to.")]
    action_id: Annotated[int, Field(description="The action to follow, at `/actions/{action_id}/`.", examples=[4711])]


def shown(row: Record) -> Snapshot:
    """Return a snapshot as the API shows it."""
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "server": {"id": row.server_id, "name": row.server_name},
        "name": row.name,
        "status": row.status,
        "size_mb": None if row.size_bytes is None else round(row.size_bytes / _MB, 1),
        "error": row.error,
        "created_at": iso(row.created_at),
        "description": row.description,
    }
