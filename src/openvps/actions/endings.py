"""Whether what is being made is to be given up: an operator has ended it, or its time is over."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from openvps.core.db import Record

TOO_LONG = "It took too long and was given up."


@dataclass(frozen=True)
class Ending:
    """How an action ends before it is done: as `failed` or `cancelled`, and the reason that its customer reads."""

    status: str
    reason: str


def ending(running: Sequence[Record], deadline_at: datetime | None, at: datetime) -> Ending | None:
    """Return how a snapshot or backup that is being made ends now; None: it goes on.

    An operator's word goes first, so that it is what the customer reads.
    """
    cancelled = next((one.cancelled_for for one in running if one.cancelled_for is not None), None)
    if cancelled is not None:
        return Ending("cancelled", cancelled)
    return Ending("failed", TOO_LONG) if deadline_at is not None and deadline_at <= at else None
