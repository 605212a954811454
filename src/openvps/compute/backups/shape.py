"""A backup as the API shows it, and what is asked for it."""

from typing import Annotated

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from openvps.compute.servers.fields import Ref
from openvps.core.clock import iso
from openvps.core.db import Record

_MB = 10**6
Text = Annotated[str, Field(strict=True, max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]


class NewBackup(BaseModel):
    """What `POST /backups/` takes."""

    server_id: Annotated[Ref, Field(description="The server.", examples=[12345])]
    description: Annotated[Text, Field(description="What it is for.", examples=["Before the upgrade to 2.0"])] = ""


class ServerPart(TypedDict):
    """The server that a backup is of, perhaps deleted since."""

    id: Annotated[int, Field(description="The server's id.", examples=[12345])]
    name: Annotated[str, Field(description="The server's name.", examples=["web-server-01"])]


class Backup(TypedDict):
    """A server's disk in the store; it stays when the server is deleted."""

    id: Annotated[int, Field(description="The backup's id.", examples=[57])]
    uuid: Annotated[str, Field(description="The backup's UUID.", examples=["6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64"])]
    server: Annotated[ServerPart, Field(description="The server that it is of.")]
    backup_type: Annotated[str, Field(description="`manual` or `automatic`.", examples=["manual"])]
    status: Annotated[
        str,
        Field(description="`in_progress`, `completed`, or `failed`: then there is nothing.", examples=["completed"]),
    ]
    size_mb: Annotated[
        float | None,
        Field(description="The files' size, in MB; null before it is known.", examples=[303.2]),
    ]
    error: Annotated[
        str | None,
        Field(description="Why it failed, or has to be tried again; null where it didn't.", examples=[None]),
    ]
    verified_at: Annotated[
        str | None,
        Field(
            description="When it was last proved that it can be restored, UTC; null: not yet.",
            examples=["2026-11-24T04:10:00Z"],
        ),
    ]
    verify_error: Annotated[
        str | None,
        Field(description="Why that failed when it was last tried; null where it didn't.", examples=[None]),
    ]
    created_at: Annotated[str, Field(description="When it was asked for, UTC.", examples=["2026-11-23T14:30:00Z"])]
    expires_at: Annotated[
        str | None, Field(description="When it is deleted by itself, UTC; null: never.", examples=[None])
    ]
    description: Annotated[str, Field(description="What it is for.", examples=["Before the upgrade to 2.0"])]


class Created(Backup):
    """A backup just asked for."""

    message: Annotated[str, Field(description="What happens now.", examples=["Backup is being made"])]
    action_id: Annotated[int, Field(description="The action to follow, at `/actions/{action_id}/`.", examples=[4711])]


class Verifying(Backup):
    """A backup that is being proved."""

    message: Annotated[str, Field(description="What happens now.", examples=["Backup is being verified"])]
    action_id: Annotated[int, Field(description="The action to follow, at `/actions/{action_id}/`.", examples=[4711])]


class BackupPart(TypedDict):
    """The backup that is restored."""

    id: Annotated[int, Field(description="The backup's id.", examples=[57])]
    created_at: Annotated[str, Field(description="When it was asked for, UTC.", examples=["2026-11-23T14:30:00Z"])]


class RestoredServer(ServerPart):
    """The server, on its way."""

    status: Annotated[str, Field(description="`restoring`.", examples=["restoring"])]


class RestoringBackup(TypedDict):
    """What a restore answers at once; the server gets there by itself."""

    status: Annotated[str, Field(description="`success`: the server is on its way.", examples=["success"])]
    message: Annotated[
        str, Field(description="What happens now.", examples=["Server is being restored from the backup"])
    ]
    backup: Annotated[BackupPart, Field(description="The backup that it is restored from.")]
    server: Annotated[RestoredServer, Field(description="The server that it happens to.")]
    action_id: Annotated[int, Field(description="The action to follow, at `/actions/{action_id}/`.", examples=[4711])]


def shown(row: Record) -> Backup:
    """Return a backup as the API shows it."""
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "server": {"id": row.server_id, "name": row.server_name},
        "backup_type": row.backup_type,
        "status": row.status,
        "size_mb": None if row.size_bytes is None else round(row.size_bytes / _MB, 1),
        "error": row.error,
        "verified_at": iso(row.verified_at) if row.verified_at else None,
        "verify_error": row.verify_error,
        "created_at": iso(row.created_at),
        "expires_at": iso(row.expires_at) if row.expires_at else None,
        "description": row.description,
    }
