"""What servers' lives cost, hour by hour and in fractions: shares no code with the product."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cached_property
from math import floor

HOUR = timedelta(hours=1)
WRITTEN = timedelta(minutes=5)  # after an hour's end, when all that moved in it is known
GB = 10**9

Kind = str
Key = tuple[int, Kind, datetime]


@dataclass(frozen=True)
class Cost:
    """What is to be paid when; of traffic, also how much was beyond before and after."""

    due: datetime
    amount: int
    before: int = 0
    after: int = 0


@dataclass
class Life:
    """A server's life: begin, price and GB a month, resizes as (moment, price, GB), an end or none, and its traffic.

    Traffic is received and sent bytes by the begin of an hour of the clock.
    """

    begin: datetime
    price: int
    gb: int = 0
    resizes: list[tuple[datetime, int, int]] = field(default_factory=list[tuple[datetime, int, int]])
    end: datetime | None = None
    traffic: dict[datetime, tuple[int, int]] = field(default_factory=dict[datetime, tuple[int, int]])

    def costs(self, until: datetime) -> dict[datetime, int]:
        """Return what each hour that begins by `until` costs."""
        costs: dict[datetime, int] = {}
        hours: dict[tuple[int, int], int] = defaultdict(int)
        sums: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
        for at in self._hours(until):
            month = (at.year, at.month)
            hours[month] += 1
            before = floor(sums[month])
            if hours[month] <= 672:
                sums[month] += Fraction(self._rate(at)[0], 672)
            costs[at] = floor(sums[month]) - before
        return costs

    def overage(self, until: datetime, gb_price: int) -> dict[datetime, Cost]:
        """Return what traffic costs by the hour of the clock, as far as it is due by `until`."""
        costs: dict[datetime, Cost] = {}
        moved, month, over = [0, 0], (0, 0), 0
        last = _clock(self._end - timedelta(microseconds=1)) if self._end else None
        at = _clock(self.begin)
        while (due := self._due(at)) <= until and (last is None or at <= last):
            if (at.year, at.month) != month:
                moved, month, over = [0, 0], (at.year, at.month), 0
            for way, count in enumerate(self.traffic.get(at, (0, 0))):
                moved[way] += count
            looked_at = at in self.traffic or at == last or (at + HOUR).month != at.month
            now = max(0, max(moved) - self.included(at, is_last=at == last)) if looked_at else over
            if now != over:
                paid = floor(Fraction(now * gb_price, GB)) - floor(Fraction(over * gb_price, GB))
                costs[at] = Cost(due, paid, over, now)
            over = now
            at += HOUR
        return costs

    def included(self, at: datetime, *, is_last: bool) -> int:
        """Return the bytes that are included in a month, as known at the end of one of its hours."""
        known_until = None if is_last else at + HOUR
        bytes_, count, hour = Fraction(0), 0, self.begin
        while (hour.year, hour.month) <= (at.year, at.month) and count < 672:
            if is_last and self._end and hour >= self._end:
                break
            if (hour.year, hour.month) == (at.year, at.month):
                bytes_ += Fraction(self._rate(hour, known_until)[1] * GB, 672)
                count += 1
            hour += HOUR
        return floor(bytes_)

    @property
    def _end(self) -> datetime | None:
        return max(self.end, self.begin + timedelta(microseconds=1)) if self.end else None

    def _hours(self, until: datetime) -> Iterable[datetime]:
        at = self.begin
        while at <= until and (self._end is None or at < self._end):
            yield at
            at += HOUR

    @cached_property
    def _rates(self) -> list[tuple[datetime, int, int]]:
        """Return from when on a month costs and includes how much: a resize is for the next of the server's hours."""
        rates = [(self.begin, self.price, self.gb)]
        for moment, price, gb in self.resizes:
            begun = (moment - self.begin) // HOUR + 1
            rates.append((self.begin + begun * HOUR, price, gb))
        return rates

    def _rate(self, hour: datetime, known_until: datetime | None = None) -> tuple[int, int]:
        """Return price and GB of one of the server's hours, by the rates that begin by `known_until`."""
        known = [rate for rate in self._rates if rate[0] <= hour and (known_until is None or rate[0] <= known_until)]
        return known[-1][1:]

    def _due(self, at: datetime) -> datetime:
        begun = -((self.begin - at - HOUR - WRITTEN) // HOUR)
        turn = self.begin + begun * HOUR
        return turn if self._end is None or turn < self._end else self._end + WRITTEN


def _clock(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def with_debt(costs: dict[Key, Cost], credits_: Iterable[tuple[datetime, int]], least: int) -> dict[Key, int]:
    """Return what is left of an account's costs when its balance never goes below `least`.

    Where less traffic is beyond than before, as much of what was paid is given back.
    """
    events = [(at, 0, 0, "", at, amount) for at, amount in credits_]
    events += [(cost.due, 1, number, kind, at, cost.amount) for (number, kind, at), cost in costs.items()]
    balance, left = 0, dict[Key, int]()
    paid: dict[tuple[int, int, int], int] = defaultdict(int)
    for _, is_cost, number, kind, at, amount in sorted(events):
        if not is_cost:
            balance += amount
            continue
        cost, month = costs[number, kind, at], (number, at.year, at.month)
        if cost.after < cost.before:
            taken = floor(Fraction(paid[month] * cost.after, cost.before)) - paid[month]
        else:
            taken = min(amount, max(0, balance - least))
        if kind == "traffic":
            paid[month] += taken
        left[number, kind, at] = taken
        balance -= taken
    return left


def all_costs(lives: dict[int, Life], until: datetime, gb_price: int) -> dict[Key, Cost]:
    """Return what some servers cost that is due by `until`."""
    costs: dict[Key, Cost] = {}
    for number, life in lives.items():
        costs |= {(number, "hour", at): Cost(at, amount) for at, amount in life.costs(until).items()}
        costs |= {(number, "traffic", at): cost for at, cost in life.overage(until, gb_price).items()}
    return costs
