"""How finely what was used is kept, and for how long: a table each."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column, Table

from openvps.schema import usage_5min, usage_hour, usage_minute

_MONTH = timedelta(days=31)  # the longest; partitions of months begin with each
_ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Resolution:
    """A table of rows `step` apart, kept for `kept`, in partitions `width` wide."""

    table: Table
    step: timedelta
    kept: timedelta
    width: timedelta

    @property
    def begins(self) -> Column[Any]:
        """The column with the moment a row begins at."""
        return list(self.table.c)[1]

    def partition(self, at: datetime) -> tuple[datetime, datetime]:
        """Return when the partition of `at` begins, and when it ends."""
        if self.width < _MONTH:
            begin = floor(at, self.width)
            return begin, begin + self.width
        begin = at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return begin, (begin + _MONTH).replace(day=1)


RESOLUTIONS = (
    Resolution(usage_minute, timedelta(minutes=1), timedelta(hours=24), timedelta(hours=6)),
    Resolution(usage_5min, timedelta(minutes=5), timedelta(days=7), timedelta(days=1)),
    Resolution(usage_hour, timedelta(hours=1), timedelta(days=397), _MONTH),  # 13 months
)


def floor(at: datetime, step: timedelta) -> datetime:
    """Return the last whole `step` of UTC that is not after `at`."""
    return at.astimezone(UTC) - (at - _ORIGIN) % step
