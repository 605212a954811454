"""What a server's hour costs: a pure function of when the server began and what a month of it cost since.

The n-th hour that a server begins within a calendar month (UTC) costs what the first n cost together less what the
first n - 1 did; together they cost the sum of their months' prices over 672, rounded down once. At one price that is
floor(n * monthly / 672) - floor((n - 1) * monthly / 672). After the month's 672nd hour all is free.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from openvps.core.money import HOURS_A_MONTH
from openvps.ledger.rates import HOUR


class Period(NamedTuple):
    """From which moment on, always the begin of an hour, a month costs and includes how much."""

    begins_at: datetime
    price_monthly_micro: int
    bandwidth_gb: int


class Charge(NamedTuple):
    """An hour that a server began, and what it costs."""

    at: datetime
    server_id: int
    amount_micro: int

    @property
    def due_at(self) -> datetime:
        """When it is charged at the earliest."""
        return self.at


class Metered(NamedTuple):
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
            month_ends = month_of(at)[1]
            first = self.hours_before(month_of(at)[0])
            number = (at - self.started_at) // HOUR - first  # of the hours in this month before
            together = self._together(first, number)  # beyond 672 nothing is added any more
            while at <= until and at < month_ends and (end is None or at < end):
                before = together
                if number < HOURS_A_MONTH:
                    together += self._price(at)
                yield Charge(at, self.server_id, together // HOURS_A_MONTH - before // HOURS_A_MONTH)
                at, number = at + HOUR, number + 1

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

    def _price(self, at: datetime) -> int:
        """Return what a month costs by the rate of an hour."""
        return next(one.price_monthly_micro for one in reversed(self.periods) if one.begins_at <= at)

    def _together(self, first: int, count: int) -> int:
        """Return the sum of the months' prices of `count` hours from the server's hour `first` on."""
        return sum(one.price_monthly_micro * hours for one, hours in self.spans(first, count, self.periods))


def month_of(at: datetime) -> tuple[datetime, datetime]:
    """Return when the calendar month of `at` begins and ends, in UTC."""
    at = at.astimezone(UTC)
    return _month(at.year, at.month)


@lru_cache(maxsize=1024)
def _month(year: int, month: int) -> tuple[datetime, datetime]:
    begin = datetime(year, month, 1, tzinfo=UTC)
    return begin, (begin + timedelta(days=32)).replace(day=1)
