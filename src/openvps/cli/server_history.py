"""`openvps server metrics` and `actions`: what was."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Annotated

from cyclopts import Parameter

from openvps.cli.arguments import Columns, Output, Server, Watch
from openvps.cli.exits import Stop

METRICS = ("cpu", "memory", "disk", "received", "sent")
BARS = " ▁▂▃▄▅▆▇█"
WIDTH = 40
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
Last = Annotated[str, Parameter(help="how far back, like 90m, 6h or 30d")]
Points = Annotated[int | None, Parameter(help="seconds from value to value: 60, 300, 3600 or 86400")]


def metrics(server: Server, *, last: Last = "1h", step: Points = None, output: Output = "table") -> None:
    """Show what a server used: least, mean, most and latest, and how it went."""
    from openvps.cli import find
    from openvps.cli.calling import calling
    from openvps.cli.output import Table, listed

    start = datetime.now(UTC) - _span(last)
    table = Table(
        {
            "metric": lambda one: one.metric,
            "unit": lambda one: one.unit,
            "least": lambda one: _number(one.unit, min(_values(one), default=None)),
            "mean": lambda one: _number(one.unit, sum(_values(one)) / len(_values(one)) if _values(one) else None),
            "most": lambda one: _number(one.unit, max(_values(one), default=None)),
            "latest": lambda one: _number(one.unit, next(iter(_values(one)[-1:]), None)),
            "course": lambda one: sparkline(_values(one)),
        },
        ("metric", "unit", "least", "mean", "most", "latest", "course"),
        lambda one: one.metric,
    )
    with calling() as client:
        found = find.server(client, server).id
        shown = [
            client.servers.metrics(found, name, start=start.strftime("%Y-%m-%dT%H:%M:%SZ"), step=step)
            for name in METRICS
        ]
    print(listed(table, shown, output), end="")


def actions(server: Server, *, columns: Columns = "", watch: Watch = False, output: Output = "table") -> None:
    """List what was done to a server, newest first, and why it failed where it did."""
    from openvps.cli import find
    from openvps.cli.calling import calling
    from openvps.cli.output import show_list
    from openvps.cli.servers_shown import ACTION

    with calling() as client:
        found = find.server(client, server).id
        show_list(ACTION, lambda: list(client.servers.actions(found)), output, columns, watch=watch)


def sparkline(values: list[float]) -> str:
    """Return a course as a line of bars, at most `WIDTH` of them, each the mean of what it stands for."""
    count = min(len(values), WIDTH)
    bounds = [round(index * len(values) / count) for index in range(count + 1)] if count else []
    means = [sum(values[low:high]) / (high - low) for low, high in itertools.pairwise(bounds)]
    most = max(means, default=0)
    return "".join(BARS[round(value / most * (len(BARS) - 1))] if most else BARS[1] for value in means)


def _values(one: object) -> list[float]:
    return [value.value for value in getattr(one, "values", [])]


def _number(unit: str, value: float | None) -> str:
    if value is None:
        return ""
    if unit != "bytes":
        return f"{value:.1f}"
    for name in ("B", "kB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004 -- the prefixes' step
            return f"{value:.0f} {name}" if name == "B" else f"{value:.1f} {name}"
        value /= 1000
    return f"{value:.1f} TB"


def _span(text: str) -> timedelta:
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in UNITS or not int(number):
        raise Stop(f"--last {text}: a number with m, h or d, like 90m")
    return timedelta(**{UNITS[unit]: int(number)})
