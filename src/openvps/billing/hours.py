"""What a server's hour costs: a pure function of when the server began and what a month of it cost since.

The n-th hour that a server begins within a calendar month (UTC) costs what the first n cost together less what the
first n - 1 did; together they cost the sum of their months' prices over 672, rounded down once. At one price that is
floor(n * monthly / 672) - floor((n - 1) * monthly / 672). After the month's 672nd hour all is free.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from openvps.core.money import HOURS_A_MONTH
from openvps.ledger.rates import HOUR


@dataclass(frozen=True)
class Period:
    """From which moment on, always the begin of an hour, a month costs and includes how much."""

    begins_at: datetime
    price_monthly_micro: int
    bandwidth_gb: int


@dataclass(frozen=True)
class Charge:
    """An hour that a server began, and what it costs."""

    at: datetime
    server_id: int
    amount_micro: int

    @property
    def due_at(self) -> datetime:
        """When it is charged at the earliest."""
        return self.at


@dataclass(frozen=True)
class Metered:
    """A server's hours that are due; its periods follow each other without a gap."""

    server_id: int
    started_at: datetime
    ended_at: datetime | None
    due_at: datetime | None  # None: no hour is
    periods: Sequence[Period]

    def charges(self, until: datetime) -> Iterator[Charge]:
        """Yield the due hours that began by `until`."""
        at, end = self.due_at, self.ended_at
        while at is not None and at <= until and (end is None or at < end):
            yield Charge(at, self.server_id, self._cost(at))
            at += HOUR

    def month_until(self, at: datetime, end: datetime) -> tuple[int, int]:
        """Return how many hours begin in the month of `at` before `end`, and what they cost together."""
        first = self.hours_before(month_of(at)[0])
        count = max(0, self.hours_before(min(end, self.ended_at) if self.ended_at else end) - first)
        return count, self._together(first, min(count, HOURS_A_MONTH)) // HOURS_A_MONTH

    def hours_before(self, moment: datetime) -> int:
        """Return how many hours the server begins before `moment`, were it to go on till then."""
        return max(0, -((self.started_at - moment) // HOUR))

    def spans(self, first: int, count: int, periods: Sequence[Period]) -> Iterator[tuple[Period, int]]:
        """Yield how many of `count` hours from the server's hour `first` on are of which of the periods."""
        end = first + count
        for period in reversed(periods):
            begin = max(first, (period.begins_at - self.started_at) // HOUR)
            if begin < end:
                yield period, end - begin
                end = begin

    def _cost(self, at: datetime) -> int:
        first = self.hours_before(month_of(at)[0])
        number = (at - self.started_at) // HOUR - first + 1
        if number > HOURS_A_MONTH:
            return 0
        return self._together(first, number) // HOURS_A_MONTH - self._together(first, number - 1) // HOURS_A_MONTH

    def _together(self, first: int, count: int) -> int:
        """Return the sum of the months' prices of `count` hours from the server's hour `first` on."""
        return sum(one.price_monthly_micro * hours for one, hours in self.spans(first, count, self.periods))


def month_of(at: datetime) -> tuple[datetime, datetime]:
    """Return when the calendar month of `at` begins and ends, in UTC."""
    begin = at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return begin, (begin + timedelta(days=32)).replace(day=1)
