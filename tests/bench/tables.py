"""Results as Markdown: what is printed can stand in the documentation as it is."""

import statistics
import sys
from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; all but the first column are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(seconds: Sequence[float]) -> list[str]:
    """Return least, median, 95th percentile and most, in seconds."""
    p95 = statistics.quantiles(seconds, n=20, method="inclusive")[18]
    return [f"{one:.2f}" for one in (min(seconds), statistics.median(seconds), p95, max(seconds))]


def say(text: str = "") -> None:
    """Print a line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
