"""The month's price over 672 hours."""

from hypothesis import given
from hypothesis import strategies as st

from openvps.core.money import HOURS_A_MONTH, first_hours

MONTHLY = st.integers(0, 10**12)


@given(MONTHLY)
def test_672_hours_are_exactly_the_monthly_price_and_the_rest_is_free(monthly: int) -> None:
    assert first_hours(monthly, HOURS_A_MONTH) == monthly
    assert first_hours(monthly, 744) == monthly


@given(MONTHLY, st.integers(0, 743))
def test_an_hour_costs_its_share_rounded_either_way(monthly: int, hour: int) -> None:
    cost = first_hours(monthly, hour + 1) - first_hours(monthly, hour)
    assert cost in ({monthly // HOURS_A_MONTH, -(-monthly // HOURS_A_MONTH)} if hour < HOURS_A_MONTH else {0})
