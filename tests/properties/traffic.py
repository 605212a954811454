"""Traffic to draw: of a server that is seen every few hours, and moves about as much as a plan of `GBS` includes."""

from datetime import datetime, timedelta
from random import Random

from hypothesis import strategies as st

GBS = st.integers(0, 300)
SEEN = 60  # hours in which it moves something: two months and more


@st.composite
def traffic(draw: st.DrawFn, begin: datetime, end: datetime | None) -> dict[datetime, tuple[int, int]]:
    """Return received and sent bytes by the hour of the clock, from a seed: hypothesis would draw fewer."""
    dice = Random(draw(st.integers(0, 10**6)))  # noqa: S311 -- repeatable is what it shall be
    most = draw(st.sampled_from([0, 10**9, 10**10, 3 * 10**10]))
    found: dict[datetime, tuple[int, int]] = {}
    hour = begin.replace(minute=0, second=0, microsecond=0)
    while len(found) < SEEN and (end is None or hour < end):
        found[hour] = (dice.randint(0, most), dice.choice([0, dice.randint(0, most)]))
        hour += timedelta(hours=dice.randint(1, 40))
    return found
