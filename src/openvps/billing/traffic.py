"""What a server's traffic costs: a pure function of what it moved, hour by hour of the clock, and of its rates.

A month's traffic is the larger of what came in and what went out. Included is a 672nd of what its plan includes a
month for each hour that the server begins in it, 672 hours at most; what goes beyond is charged in the hour in which
it does. Until the month or the server ends, the hours that it may still begin count as begun, so that nobody is
charged for being early; what they would have included is missing when the server ends before.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from openvps.billing.hours import Metered, month_of
from openvps.core.money import HOURS_A_MONTH
from openvps.ledger.rates import HOUR, LEAST

GB = 10**9
SETTLED = timedelta(minutes=5)  # after an hour's end: the samples that were taken in it are written


class Traffic(NamedTuple):
    """A server's traffic before `at`, as sums of the month of `at`."""

    at: datetime
    received_bytes: int = 0
    sent_bytes: int = 0
    over_bytes: int = 0
    charged_micro: int = 0

    @property
    def used_bytes(self) -> int:
        """What counts: the larger of both directions."""
        return max(self.received_bytes, self.sent_bytes)

    def moved_to(self, at: datetime) -> "Traffic":
        """Return the same at a later moment: a new month begins at zero."""
        return Traffic(at, *self[1:]) if month_of(at) == month_of(self.at) else Traffic(at)


class Overage(NamedTuple):
    """An hour at whose end a month's traffic beyond what is included was more than before, or, by a resize, less."""

    at: datetime
    server_id: int
    due_at: datetime
    before_bytes: int
    over_bytes: int

    def cost(self, gb_micro: int, charged_micro: int) -> int:
        """Return what it costs where a GB costs `gb_micro` and the month's traffic has cost `charged_micro`.

        Less than 0: where less is over, its share of what was charged is given back, however little that was.
        """
        if self.over_bytes >= self.before_bytes:
            return self.over_bytes * gb_micro // GB - self.before_bytes * gb_micro // GB
        return charged_micro * self.over_bytes // self.before_bytes - charged_micro


Moved = Mapping[datetime, tuple[int, int]]  # received and sent, by the begin of their hour


def settle(server: Metered, known: Traffic, moved: Moved, until: datetime) -> tuple[list[Overage], Traffic]:
    """Return what is to be charged by `until`, and the sums then, without what it costs.

    It is done with each of the server's own hours, for the hours of the clock that are over, and when it is gone.
    """
    if is_closed(server, until):
        end = _present_hour(server, until) + HOUR
    else:
        begun = server.hours_before(min(until + LEAST, server.ended_at or until + LEAST))
        end = clock(server.started_at + (begun - 1) * HOUR - SETTLED)
    found: list[Overage] = []
    for hour, before, after in _hours(server, known, moved, end):
        if after.over_bytes != before.over_bytes:
            due_at = _due(server, hour)
            found.append(Overage(hour, server.server_id, due_at, before.over_bytes, after.over_bytes))
        known = after
    return found, known.moved_to(max(end, known.at))


def is_closed(server: Metered, at: datetime) -> bool:
    """Whether all that a server ever moved is known."""
    return server.ended_at is not None and server.ended_at + SETTLED <= at


def present(server: Metered, known: Traffic, moved: Moved, at: datetime) -> Traffic:
    """Return the sums of the month of `at`, with the hour that isn't over."""
    latest = known
    for _, _, latest in _hours(server, known, moved, _present_hour(server, at) + HOUR):  # noqa: B007 -- the last one
        pass
    return latest.moved_to(max(clock(at), known.at))


def included_bytes(server: Metered, hour: datetime) -> int:
    """Return what is included in the month of an hour of the clock, as was known when the hour was over."""
    begin, end = month_of(hour)
    periods = server.periods
    if server.ended_at is not None and hour == clock(server.ended_at - LEAST):
        end = server.ended_at
    else:
        periods = [one for one in periods if one.begins_at <= hour + HOUR]
    first = server.hours_before(begin)
    count = min(server.hours_before(end) - first, HOURS_A_MONTH)
    hours_gb = 0
    for one, hours in server.spans(first, count, periods):
        hours_gb += one.bandwidth_gb * hours
    return hours_gb * GB // HOURS_A_MONTH


def included_by(server: Metered, at: datetime) -> int:
    """Return what is included in the month of `at`, which a server has seen to its end or is in."""
    return included_bytes(server, _present_hour(server, at))


def clock(at: datetime) -> datetime:
    """Return when the hour of the clock (UTC) of `at` began."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _hours(
    server: Metered, known: Traffic, moved: Moved, end: datetime
) -> Iterator[tuple[datetime, Traffic, Traffic]]:
    """Yield the hours before `end` after which there may be more or less to charge, and the sums before and after."""
    for hour in sorted({*moved, *_closings(server, known.at, end)}):
        if known.at <= hour < end:
            before = known.moved_to(hour)
            received, sent = moved.get(hour, (0, 0))
            received, sent = before.received_bytes + received, before.sent_bytes + sent
            over = max(0, max(received, sent) - included_bytes(server, hour))
            known = Traffic(hour, received, sent, over, before.charged_micro)
            yield hour, before, known


def _closings(server: Metered, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the last hours of months and server: what is included is certain with them."""
    if server.ended_at is not None:
        yield clock(server.ended_at - LEAST)
    while (month_end := month_of(begin)[1]) <= end:
        yield month_end - HOUR
        begin = month_end


def _present_hour(server: Metered, at: datetime) -> datetime:
    return clock(at if server.ended_at is None else server.ended_at - LEAST)


def _due(server: Metered, hour: datetime) -> datetime:
    """Return when an hour of the clock is charged: with the server's next own hour, or after its end."""
    turn = server.started_at + server.hours_before(hour + HOUR + SETTLED) * HOUR
    return turn if server.ended_at is None or turn < server.ended_at else server.ended_at + SETTLED
