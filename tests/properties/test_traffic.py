"""What traffic costs: settled at any moments, with what was known then, it is what a recomputation says."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from recomputation import HOUR, Life

from openvps.billing.hours import Metered, Period
from openvps.billing.traffic import Overage, Traffic, clock, is_closed, settle
from openvps.ledger import rates

SECONDS = st.integers(0, 40 * 86400)
GBS = st.integers(0, 300)
BYTES = st.one_of(st.just(0), st.integers(0, 3 * 10**10))
BEGINS = st.datetimes(datetime(2024, 1, 28), datetime(2024, 3, 3), timezones=st.just(UTC))  # noqa: DTZ001 -- bounds
LONGEST = timedelta(days=80)


@st.composite
def busy_lives(draw: st.DrawFn) -> Life:
    """Return a server that moves something in most of its hours, about as much as its plans include."""
    begin = draw(BEGINS)
    moments = sorted(begin + timedelta(seconds=draw(SECONDS)) for _ in range(draw(st.integers(0, 4))))
    end = begin + timedelta(seconds=draw(SECONDS)) if draw(st.booleans()) else None
    resizes = [(at, 0, draw(GBS)) for at in moments if end is None or at < end]
    traffic: dict[datetime, tuple[int, int]] = {}
    hour = clock(begin)
    while hour < (end or begin + LONGEST) and len(traffic) < 60:
        traffic[hour] = (draw(BYTES), draw(BYTES))
        hour += draw(st.integers(1, 40)) * HOUR
    return Life(begin, 0, draw(GBS), resizes, end, traffic)


def known_at(life: Life, at: datetime) -> Metered:
    """Return the server as its rows say it at a moment."""
    periods = {life.begin: life.gb}
    for moment, _, gb in life.resizes:
        if moment <= at:
            periods[rates.next_hour(life.begin, moment)] = gb
    end = max(life.end, life.begin + rates.LEAST) if life.end and life.end <= at else None
    if end:
        periods = {begins: gb for begins, gb in periods.items() if begins < end}
    return Metered(1, life.begin, end, None, [Period(begins, 0, gb) for begins, gb in periods.items()])


def settled(life: Life, moments: list[datetime]) -> list[Overage]:
    """Return what is charged when it is done at these moments, with what was known at each."""
    known = Traffic(clock(life.begin))
    found: list[Overage] = []
    for at in moments:
        server = known_at(life, at)
        moved = {hour: both for hour, both in life.traffic.items() if known.at <= hour <= at}
        overages, known = settle(server, known, moved, at)
        found += overages
        if is_closed(server, at):
            break
    return found


@settings(max_examples=150)
@given(busy_lives(), st.lists(SECONDS, max_size=30), SECONDS)
def test_traffic_settled_at_any_moments_is_what_it_is_recomputed_to(life: Life, runs: list[int], last_s: int) -> None:
    last = life.begin + timedelta(seconds=2 * last_s)
    between = [life.begin + timedelta(seconds=2 * each) for each in runs]
    expected = life.overage(last, 0)
    for moments in ([last], [*sorted(at for at in between if at < last), last, last]):
        found = settled(life, moments)
        assert {one.at: (one.due_at, one.before_bytes, one.over_bytes) for one in found} == {
            at: (cost.due, cost.before, cost.after) for at, cost in expected.items()
        }
        assert len(found) == len(expected)
