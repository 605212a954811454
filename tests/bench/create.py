"""From asking for a server to being logged in, beside a plain Incus client: in turns, in one run, by one login.

Nothing is made beforehand, but for one machine of each side that isn't counted: it unpacks the image and warms the
caches. What is deleted between two turns is not timed.
"""

import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from engine_log import EngineLog
from sides import Made, Ours, Plain
from tables import say, spread, table

from lab import Lab

MAX_ALONE, MAX_TOGETHER = 1.05, 1.1
AIM_S = 2.0
QUIET_S = 2.0  # after deleting: btrfs cleans up behind
TOGETHER_EACH = 4  # one round at once for so many alone
LEAST_TOGETHER = 2
PHASES = (
    # from, to, what it is on our side; with the plain client the first two are one
    ("began", "answered", "`POST` is answered"),
    ("answered", "ordered", "the worker has taken the job and orders it from the engine"),
    ("ordered", "created", "the engine has unpacked the disk"),
    ("created", "started", "the engine has started the machine"),
    ("started", "greeted", "its sshd greets"),
    ("greeted", "done", "the login has run `true`"),
)


def run(lab: Lab, *, rounds: int, together: int) -> bool:
    """Measure both sides alone and `together` at once; returns whether the ratios of the medians are kept."""
    sides = (Ours(lab), Plain(lab))
    say(f"load at the start {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores")
    try:
        with EngineLog(lab) as log:
            time.sleep(1)  # the stream opens
            _turns(sides, 1, 1)
            alone = _turns(sides, rounds, 1)
            many = _turns(sides, max(LEAST_TOGETHER, rounds // TOGETHER_EACH), together) if together > 1 else ()
            time.sleep(1)  # the last events
    finally:
        for side in sides:
            side.clear()
    say(f"load at the end {os.getloadavg()[0]:.2f}")
    met = _report("alone", sides, alone, MAX_ALONE)
    say(f"median alone: {statistics.median(made.seconds for [made] in alone[0]):.2f} s (aim: {AIM_S:g} s)")
    if many:
        met = _report(f"{together} at once", sides, many, MAX_TOGETHER) and met
    say("\nwhere the time goes, alone: medians in ms\n")
    say(table(["until", *(side.name for side in sides)], _phases(alone, log)))
    return met


def _turns(sides: Sequence[Ours | Plain], rounds: int, at_once: int) -> tuple[list[list[Made]], ...]:
    """Make machines in turns; returns each side's rounds."""
    results: tuple[list[list[Made]], ...] = tuple([] for _ in sides)
    for _ in range(rounds):
        for side, result in zip(sides, results, strict=True):
            with ThreadPoolExecutor(at_once) as threads:
                result.append([made.result() for made in [threads.submit(side.make) for _ in range(at_once)]])
            side.clear()
            time.sleep(QUIET_S)
    return results


def _report(how: str, sides: Sequence[Ours | Plain], results: Sequence[list[list[Made]]], most: float) -> bool:
    rows: list[list[str]] = []
    medians: list[float] = []
    for side, rounds in zip(sides, results, strict=True):
        each = [made.seconds for one in rounds for made in one]
        whole = [max(made.done for made in one) - min(made.began for made in one) for one in rounds]
        medians.append(statistics.median(each))
        rows.append([side.name, str(len(each)), *spread(each), f"{statistics.median(whole):.2f}"])
    ratio = medians[0] / medians[1]
    say(f"\n{how}: seconds to a login\n")
    say(table(["", "n", "min", "median", "p95", "max", "a whole round"], rows))
    say(f"\nratio of medians {how}: {ratio:.3f} (at most {most:g}): {'met' if ratio <= most else 'MISSED'}")
    return ratio <= most


def _phases(results: Sequence[list[list[Made]]], log: EngineLog) -> list[list[str]]:
    """Return a row a phase; with the plain client what the client waits for goes on inside its first phase."""
    rows: list[list[str]] = []
    for start, end, name in PHASES:
        row = [name]
        for mine, rounds in enumerate(results):
            took = [_took(made, start, end, log, plain=mine > 0) for [made] in rounds]
            known = [one for one in took if one is not None]
            row.append(f"{statistics.median(known) * 1000:.0f}" if known else "-")
        rows.append(row)
    return rows


def _took(made: Made, start: str, end: str, log: EngineLog, *, plain: bool) -> float | None:
    moments = {**log.moments[made.machine], **vars(made)}
    if plain:  # it is answered when all is started: no moment on the way
        moments["answered"] = made.began
        if end == "answered":
            return None
    return moments[end] - moments[start] if start in moments and end in moments else None
