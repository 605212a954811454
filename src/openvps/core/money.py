"""Money is an integer of micro-units of the installation's one currency.

A month's price is spread over 672 hours (28 days): the month's n-th hour costs
floor(n*monthly/672) - floor((n-1)*monthly/672), so that 672 hours are exactly the monthly price.
"""

MICRO = 1_000_000
HOURS_A_MONTH = 672  # D: the published FAQ divides the monthly price by it


def first_hours(monthly_micro: int, hours: int) -> int:
    """Return what the first `hours` started hours of a month cost, in micro-units."""
    return min(hours, HOURS_A_MONTH) * monthly_micro // HOURS_A_MONTH


def missing(needed_micro: int, free_micro: int) -> float:
    """Return what `free_micro` lacks of `needed_micro`, in whole currency units, the last cent rounded up."""
    return -((free_micro - needed_micro) // 10_000) / 100


def major(micro: int, digits: int = 2) -> float:
    """Return `micro` in whole currency units, for display only."""
    return round(micro / MICRO, digits)
