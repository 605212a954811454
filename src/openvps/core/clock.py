"""Time: UTC everywhere, second precision at the edge."""

from datetime import UTC, datetime, timedelta


def now() -> datetime:
    """Return the present moment, aware and in UTC."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """Write `moment` as the API does: UTC, ISO 8601, whole seconds, `Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


# Nothing of ours waits so long: what is noted as yet to come by more was noted before the clock was set back.
SET_BACK = timedelta(minutes=10)
