"""What servers' lives cost, hour by hour and in fractions: shares no code with the product."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from math import floor

HOUR = timedelta(hours=1)


@dataclass
class Life:
    """A server's life: begin, price, resizes as (moment, price), and an end or none."""

    begin: datetime
    price: int
    resizes: list[tuple[datetime, int]] = field(default_factory=list[tuple[datetime, int]])
    end: datetime | None = None

    def costs(self, until: datetime) -> dict[datetime, int]:
        """Return what each hour that begins by `until` costs."""
        costs: dict[datetime, int] = {}
        hours: dict[tuple[int, int], int] = defaultdict(int)
        sums: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
        at = self.begin
        while at <= until and (self.end is None or at < self.end or at == self.begin):
            price = [self.price, *(price for moment, price in self.resizes if moment < at)][-1]
            month = (at.year, at.month)
            hours[month] += 1
            before = floor(sums[month])
            if hours[month] <= 672:
                sums[month] += Fraction(price, 672)
            costs[at] = floor(sums[month]) - before
            at += HOUR
        return costs


def with_debt(
    costs: dict[tuple[int, datetime], int], credits_: Iterable[tuple[datetime, int]], least: int
) -> dict[tuple[int, datetime], int]:
    """Return what is left of an account's costs when its balance never goes below `least`."""
    events = [(at, 0, 0, amount) for at, amount in credits_]
    events += [(at, 1, number, cost) for (number, at), cost in costs.items()]
    balance, left = 0, dict[tuple[int, datetime], int]()
    for at, is_cost, number, amount in sorted(events):
        if is_cost:
            left[number, at] = min(amount, max(0, balance - least))
            balance -= left[number, at]
        else:
            balance += amount
    return left
