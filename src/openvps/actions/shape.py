"""An action as the API shows it."""

from typing_extensions import TypedDict

from openvps.core.clock import iso
from openvps.core.db import Record


class Subject(TypedDict):
    """What an action is done to; `type` is e.g. `server`."""

    type: str
    id: int


class Action(TypedDict):
    """Something under way or done: `status` is queued, running, completed, failed or cancelled.

    `progress` is in percent of its steps; `error` says why it failed or was cancelled.
    """

    id: int
    uuid: str
    kind: str
    subject: Subject
    status: str
    progress: int
    error: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None


def shown(row: Record) -> Action:
    """Return an action as the API shows it."""
    return {
        "id": row.id,
        "uuid": str(row.uuid),
        "kind": row.kind,
        "subject": {"type": row.kind.partition(".")[0], "id": row.subject_id},
        "status": "queued" if row.status == "running" and row.started_at is None else row.status,
        "progress": row.progress,
        "error": row.error,
        "created_at": iso(row.created_at),
        "started_at": iso(row.started_at) if row.started_at else None,
        "finished_at": iso(row.finished_at) if row.finished_at else None,
    }
