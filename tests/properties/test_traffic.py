"""What traffic costs: settled at any moments, with what was known then, it is what a recomputation says."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from recomputation import HOUR, Life
from traffic import GBS, traffic

from openvps.billing.hours import Metered, Period
from openvps.billing.traffic import Overage, Traffic, clock, is_closed, settle
from openvps.ledger import rates

SECONDS = st.integers(0, 40 * 86400)
BEGINS = st.datetimes(datetime(2024, 1, 28), datetime(2024, 3, 3), timezones=st.just(UTC))  # noqa: DTZ001 -- bounds
LASTS = st.one_of(SECONDS, st.just(80 * 86400))


@st.composite
def busy_lives(draw: st.DrawFn) -> Life:
    """Return a server that moves something in most of its hours, about as much as its plans include."""
    begin = draw(BEGINS)
    moments = sorted(begin + timedelta(seconds=draw(SECONDS)) for _ in range(draw(st.integers(0, 4))))
    end = begin + timedelta(seconds=draw(SECONDS)) if draw(st.booleans()) else None
    resizes = [(at, 0, draw(GBS)) for at in moments if end is None or at < end]
    return Life(begin, 0, draw(GBS), resizes, end, draw(traffic(begin, end)))


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
@given(busy_lives(), st.lists(SECONDS, max_size=30), LASTS)
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


JUNE = datetime(2028, 6, 1, tzinfo=UTC)
GB = 10**9


def a_server(**fields: Any) -> Metered:
    values: dict[str, Any] = {"started_at": JUNE, "ended_at": None, "due_at": None, "periods": [Period(JUNE, 0, 672)]}
    return Metered(1, **(values | fields))


def test_an_hour_is_charged_when_what_moved_in_it_is_surely_written() -> None:
    moved = {JUNE: (0, 700 * GB)}
    for minute, turn in ((4, 2), (6, 1)):
        server = a_server(started_at=JUNE + timedelta(minutes=minute))
        due_at = server.started_at + turn * HOUR
        assert settle(server, Traffic(JUNE), moved, due_at - rates.LEAST) == ([], Traffic(JUNE))
        [one], known = settle(server, Traffic(JUNE), moved, due_at)
        assert (one.at, one.due_at, known.at) == (JUNE, due_at, JUNE + turn * HOUR - HOUR * (turn - 1))


def test_a_smaller_plan_counts_at_the_months_end_also_where_nothing_moved_since() -> None:
    later = JUNE + timedelta(days=10)
    server = a_server(periods=[Period(JUNE, 0, 672), Period(later, 0, 0)])
    found, known = settle(server, Traffic(JUNE), {JUNE: (300 * GB, 0)}, JUNE + timedelta(days=40))
    assert [(one.at, one.over_bytes) for one in found] == [(JUNE + timedelta(days=30) - HOUR, 60 * GB)]
    assert (known.used_bytes, known.over_bytes) == (0, 0)


def test_after_672_hours_no_more_is_included() -> None:
    last = JUNE + timedelta(days=30) - HOUR
    [one], _ = settle(a_server(), Traffic(JUNE), {last: (700 * GB, 1)}, JUNE + timedelta(days=31))
    assert (one.over_bytes, one.cost(10_000, 0)) == (28 * GB, 280_000)


def test_what_counts_is_the_larger_direction() -> None:
    assert Traffic(JUNE, 5, 7).used_bytes == Traffic(JUNE, 7, 5).used_bytes == 7


def test_a_months_traffic_is_rounded_down_once_however_many_hours_it_came_in() -> None:
    price = 10_007
    borders = [0, 50_000, 100_000, 150_000, 150_000, GB]  # 0.50, 1.0007 and 1.501 micro-units
    hours = [Overage(JUNE, 1, JUNE, *pair).cost(price, 0) for pair in pairwise(borders)]
    assert hours == [0, 1, 0, 0, price - 1]


def test_what_is_given_back_is_rounded_for_the_customer() -> None:
    assert Overage(JUNE, 1, JUNE, 3 * GB, GB).cost(10_000, 10) == 3 - 10
    assert Overage(JUNE, 1, JUNE, 0, 0).cost(10_000, 0) == 0


def test_all_is_known_of_a_server_five_minutes_after_its_end_and_no_earlier() -> None:
    server = a_server(ended_at=JUNE + HOUR)
    due_at = JUNE + HOUR + timedelta(minutes=5)
    assert not is_closed(server, due_at - rates.LEAST)
    assert is_closed(server, due_at)
    assert not is_closed(a_server(), due_at)
    moved = {JUNE: (2 * GB, 0)}
    assert settle(server, Traffic(JUNE), moved, due_at - rates.LEAST)[0] == []
    [one], known = settle(server, Traffic(JUNE), moved, due_at)
    assert (one.at, one.due_at, one.over_bytes, known.at) == (JUNE, due_at, GB, JUNE + HOUR)


def test_what_a_server_that_ended_on_the_hour_has_not_earned_is_charged_with_its_last_one() -> None:
    server = a_server(ended_at=JUNE + 2 * HOUR)
    [one], _ = settle(server, Traffic(JUNE), {JUNE: (3 * GB, 0)}, JUNE + 3 * HOUR)
    assert (one.at, one.over_bytes) == (JUNE + HOUR, GB)


def test_a_plan_that_begins_as_an_hour_ends_is_known_at_its_end() -> None:
    server = a_server(periods=[Period(JUNE, 0, 672), Period(JUNE + HOUR, 0, 0)])
    [one], _ = settle(server, Traffic(JUNE), {JUNE: (3 * GB, 0)}, JUNE + 2 * HOUR)
    assert (one.at, one.over_bytes) == (JUNE, 2 * GB)


def test_a_month_is_closed_by_the_very_turn_that_settles_its_last_hour() -> None:
    begun = JUNE + timedelta(minutes=6)
    server = a_server(started_at=begun, periods=[Period(begun, 0, 672), Period(begun + 9 * HOUR, 0, 0)])
    turn = begun + timedelta(days=30)
    early, known = settle(server, Traffic(JUNE), {JUNE: (300 * GB, 0)}, turn - HOUR)
    assert early == []
    [one], known = settle(server, known, {}, turn)
    assert (one.at, one.over_bytes) == (turn - timedelta(minutes=6) - HOUR, 291 * GB)
    assert known == Traffic(turn - timedelta(minutes=6))


def test_a_turn_before_anything_can_be_settled_changes_nothing() -> None:
    begun = JUNE + timedelta(minutes=4)
    server = a_server(started_at=begun, periods=[Period(begun, 0, 672)])
    assert settle(server, Traffic(JUNE), {}, begun) == ([], Traffic(JUNE))


def test_a_server_that_ends_as_its_next_hour_would_begin_pays_its_last_traffic_after_its_end() -> None:
    begun = JUNE + timedelta(minutes=6)
    server = a_server(started_at=begun, ended_at=begun + HOUR, periods=[Period(begun, 0, 672)])
    both, known = settle(server, Traffic(JUNE, charged_micro=7), {JUNE: (700 * GB, 0)}, begun + 2 * HOUR)
    due_at = begun + HOUR + timedelta(minutes=5)
    assert both == [
        Overage(JUNE, 1, due_at, 0, 28 * GB),
        Overage(JUNE + HOUR, 1, due_at, 28 * GB, 699 * GB),
    ]
    assert known.charged_micro == 7


def test_what_a_larger_plan_includes_gives_back_its_share_of_what_was_charged() -> None:
    assert Overage(JUNE, 1, JUNE, 100 * GB, 25 * GB).cost(10_000, 1_000_000) == -750_000
    assert Overage(JUNE, 1, JUNE, 100 * GB, 25 * GB).cost(10_000, 40_000) == -30_000  # the rest was beyond the debt
    assert Overage(JUNE, 1, JUNE, 100 * GB, 0).cost(10_000, 40_000) == -40_000
