"""An action as the API shows it."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from openvps.core.clock import iso
from openvps.core.db import Record


class Subject(TypedDict):
    """What an action is done to; `type` is e.g. `server`."""

    type: Annotated[str, Field(description="What kind of thing it is.", examples=["server"])]
    id: Annotated[int, Field(description="Its id.", examples=[12345])]


class Action(TypedDict):
    """Something under way or done: `status` is queued, running, completed, failed or cancelled.

    `progress` is in percent of its steps; `error` says why it failed or was cancelled.
    """

    id: Annotated[int, Field(description="The action's id.", examples=[4711])]
    uuid: Annotated[str, Field(description="The action's UUID.", examples=["6f8a2c1e-4b7d-4e0a-9c35-2d1f0b8e7a64"])]
    kind: Annotated[
        str, Field(description="What is done: the thing's kind, and the verb.", examples=["server.create"])
    ]
    subject: Annotated[Subject, Field(description="What it is done to.")]
    status: Annotated[
        str, Field(description="`queued`, `running`, `completed`, `failed` or `cancelled`.", examples=["completed"])
    ]
    progress: Annotated[int, Field(description="How far it is, in percent of its steps.", examples=[100])]
    queue_position: Annotated[
        int | None,
        Field(
            description="Of a server that is to be made: how many turns are left until its own, 1 is the next. "
            "Null: it waits for none.",
            examples=[None],
        ),
    ]
    error: Annotated[
        str | None, Field(description="Why it failed or was cancelled; null where it wasn't.", examples=[None])
    ]
    created_at: Annotated[str, Field(description="When it was asked for, UTC.", examples=["2026-11-23T14:30:00Z"])]
    started_at: Annotated[
        str | None, Field(description="When work on it began, UTC; null before.", examples=["2026-11-23T14:30:00Z"])
    ]
    finished_at: Annotated[
        str | None, Field(description="When it ended, UTC; null before.", examples=["2026-11-23T14:30:08Z"])
    ]


def shown(row: Record) -> Action:
    """Return an action as the API shows it."""
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "kind": row.kind,
        "subject": {"type": row.kind.partition(".")[0], "id": row.subject_id},
        "status": "queued" if row.status == "running" and row.started_at is None else row.status,
        "progress": row.progress,
        "queue_position": row.queue_position,
        "error": row.error,
        "created_at": iso(row.created_at),
        "started_at": iso(row.started_at) if row.started_at else None,
        "finished_at": iso(row.finished_at) if row.finished_at else None,
    }
