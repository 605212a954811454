"""The whole matrix of deaths: a real worker is killed at each commit on the way to each goal, an api at each answer.

Two lanes (`fault_lane.py`), each with half of the goals, run on one engine of their own; then the tests of
tests/faults/ run on it. The report is a section of docs/faults.md, which is written anew with each row that ends: a
run that is interrupted leaves what it saw, and says that it was.
"""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fault_lane import GOALS, SIDES
from tables import say, table

from incusd import FEATURES, Incusd, an_incusd

LETTERS = "".join(chr(ord("a") + os.getpid() // 26**place % 26) for place in range(2))
PROJECT = f"openvps-kil{LETTERS}"  # a lane's ends with one letter more; interfaces are named after its last four
LANES = (
    ("create", "stop", "start"),
    ("reboot", "resize", "delete"),
)  # what is left where one ends is used by the next
CLEARED_S = 60
MOST, QUICK = 24, 2  # commits of a goal that are tried
REPORT = Path("docs/faults.md")
HEADING = "## The last run of the whole matrix"
KILLS = (
    "A worker is killed right before and right after each commit for one server; seconds are from that kill until the"
    " action had ended, while other workers were being killed, too:"
)
HEAD = ["goal", "commits", "workers killed", "goal reached", "named error", "wrong", "median, s", "most, s"]
DONE = re.compile(r"\b(PASSED|FAILED|ERROR|SKIPPED) tests/faults/(\w+)\.py::(\S+)")
COUNTED = re.compile(r"^(\d+) tests? collected")


@dataclass
class Seen:
    """What a run has seen so far."""

    quick: bool
    began: float = field(default_factory=time.time)
    revision: str = ""
    load: str = ""
    state: str = "**Interrupted: this is what it had seen by then.**"
    goals: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    apis: dict[tuple[str, str], list[str]] = field(default_factory=dict[tuple[str, str], list[str]])
    kills: Counter[str] = field(default_factory=Counter[str])
    ended: list[int] = field(default_factory=list[int])  # deadlocks of each lane that came to its end
    tests: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    failed_tests: list[str] = field(default_factory=list[str])
    collected: int = 0
    wrong: list[str] = field(default_factory=list[str])

    @property
    def rows(self) -> tuple[int, int, int]:
        """How many rows passed, failed, and there are."""
        each = [not one["wrong"] for one in self.goals.values()] + [not one for one in self.apis.values()]
        tests = sum((one for one in self.tests.values()), Counter[str]())
        passed = sum(each) + tests["PASSED"]
        failed = len(each) - sum(each) + tests["FAILED"] + tests["ERROR"]
        return passed, failed, len(GOALS) * (1 + len(SIDES)) + self.collected

    def take(self, told: dict[str, Any]) -> None:
        """Take in a line of a lane."""
        match told.pop("kind"):
            case "kill":
                self.kills[told["goal"]] += 1
                say(f"{self.clock()} {told['goal']}: killed {told['side']} commit {told['at']}: {told['died']}")
            case "goal":
                self.goals[told["goal"]] = told
                say(f"{self.clock()} {told['goal']}: {told['reached']} of {told['killed']} reached, {told['wrong']}")
            case "api":
                self.apis[told["goal"], told["side"]] = told["wrong"]
                say(f"{self.clock()} api killed {told['side']} {told['goal']}: {told['wrong']}")
            case _:
                self.ended.append(told["deadlocks"])
        self.write()

    def clock(self) -> str:
        """Return how far it is, and the time left."""
        took, (passed, failed, all_rows) = time.time() - self.began, self.rows
        at_most = 2 * (QUICK if self.quick else MOST)
        parts = sum(at_most if goal in self.goals else min(self.kills[goal], at_most) for goal in GOALS)
        of = len(GOALS) * at_most + 2 * len(self.apis) + self.collected
        parts += 2 * len(self.apis) + passed + failed - len(self.goals) - len(self.apis)
        left = took / parts * (of - parts) / 60 if parts else 0.0
        return f"[{took / 60:.1f} min, {passed} passed, {failed} failed of {all_rows}, {left:.0f} min left at most]"

    def write(self) -> None:
        """Write the section of the report."""
        before = REPORT.read_text().partition(HEADING)[0].rstrip()
        REPORT.write_text(f"{before}\n\n{HEADING}\n\n{self.text()}\n")

    def text(self) -> str:
        """Return the report."""
        passed, failed, all_rows = self.rows
        moment = f"{datetime.fromtimestamp(self.began, UTC):%Y-%m-%d %H:%M} UTC"
        took, quick = (time.time() - self.began) / 60, " --quick" if self.quick else ""
        head = f"`script/bench faults{quick}`, begun on {moment} at {self.revision}, load average {self.load};"
        failures = f"**{failed} failed**" if failed else "none failed"
        parts = [f"{head} {took:.0f} minutes. {self.state}", f"Rows: {passed} passed, {failures}, of {all_rows}."]
        if self.goals:
            parts += [KILLS, table(HEAD, [_row(one) for one in self.goals.values()])]
        if self.apis:
            good = sum(not one for one in self.apis.values())
            parts.append(
                "An api is killed right before and right after the commit of each goal's request, and its client"
                f" repeats it with its Idempotency-Key: {good} of {len(self.apis)} ended in one action and a sound"
                " installation."
            )
        if self.ended:
            parts.append(f"Deadlocks that PostgreSQL saw in {len(self.ended)} lanes: {sum(self.ended)}.")
        if self.tests:
            head = ["tests/faults/, on the light image", "passed", "failed", "skipped"]
            rows = [
                [f"`{name}`", f"{one['PASSED']}", f"{one['FAILED'] + one['ERROR']}", f"{one['SKIPPED']}"]
                for name, one in sorted(self.tests.items())
            ]
            parts.append(table(head, rows))
        wrong = [*self.wrong, *(each for one in self.goals.values() for each in one["wrong"])]
        wrong += [f"api killed {side} {goal}: {one}" for (goal, side), all_ in self.apis.items() for one in all_]
        wrong += [f"failed: {one}" for one in self.failed_tests]
        parts += ["\n".join(f"- {' '.join(one.split())[:400]}" for one in wrong)] if wrong else []
        return "\n\n".join(parts)


def _row(one: dict[str, Any]) -> list[str]:
    took = one["took"] or [0.0]
    commits = f"{one['commits']}" if one["whole"] else f"the first {one['commits']}"
    numbers = [f"{one[name]}" for name in ("killed", "reached", "named")]
    spread = [f"{statistics.median(took):.1f}", f"{max(took):.1f}"]
    return [one["goal"], commits, *numbers, f"{len(one['wrong'])}", *spread]


def run(*, quick: bool) -> bool:
    """Run the matrix; returns whether everything was as it must be."""
    seen = Seen(quick, revision=_revision(), load=f"{os.getloadavg()[0]:.1f}")
    seen.write()
    try:
        with (
            an_incusd(project=PROJECT, driver="btrfs", size="10GiB") as daemon,
            tempfile.TemporaryDirectory(prefix="openvps-lanes-") as folder,
        ):
            _lanes(seen, daemon, Path(folder))
            with daemon.counted(PROJECT):
                _tests(seen, daemon)
        seen.state = "It ran to its end."
    finally:
        seen.write()
    say(seen.text())
    deadlocks = sum(seen.ended) > 0 or len(seen.ended) < len(LANES)
    return not deadlocks and not seen.wrong and seen.rows[1] == 0 and seen.rows[0] > 0


def _lanes(seen: Seen, daemon: Incusd, folder: Path) -> None:
    """Run both lanes, and take in what they tell as they tell it."""
    lanes: list[tuple[subprocess.Popen[bytes], Path, Path]] = []
    read: Counter[Path] = Counter()
    try:
        for number, goals in enumerate(LANES):
            project = f"{PROJECT}{'ab'[number]}"
            daemon.run("storage", "create", project, "dir")
            daemon.run("project", "create", project, *FEATURES)
            out, log = folder / f"{number}.jsonl", folder / f"{number}.log"
            out.touch()
            words = [f"{daemon.socket}", project, f"{number}", f"{QUICK if seen.quick else MOST}", f"{out}", *goals]
            argv = [sys.executable, str(Path(__file__).with_name("fault_lane.py")), *words]
            with log.open("wb") as into:
                lanes.append((subprocess.Popen(argv, stdout=into, stderr=into), out, log))
        while any(lane.poll() is None for lane, _, _ in lanes):
            time.sleep(1)
            _take_in(seen, [out for _, out, _ in lanes], read)
        _take_in(seen, [out for _, out, _ in lanes], read)
        for lane, _, log in lanes:
            if lane.returncode:
                seen.wrong.append(f"a lane ended with {lane.returncode}: {log.read_text(errors='replace')[-1500:]}")
    finally:
        for lane, _, _ in lanes:
            lane.send_signal(signal.SIGTERM)
        for lane, _, _ in lanes:
            lane.wait(60)


def _take_in(seen: Seen, files: list[Path], read: Counter[Path]) -> None:
    for file in files:
        lines = [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
        for line in lines[read[file] :]:
            seen.take(json.loads(line))
        read[file] = len(lines)


def _tests(seen: Seen, daemon: Incusd) -> None:
    """Run the tests of faults on this engine, and count them by file as they end."""
    where = {"SOCKET": str(daemon.socket), "PROJECT": PROJECT, "POOL": PROJECT, "IMAGE": "none"}
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("OPENVPS_")},
        **{f"OPENVPS_TEST_{key}": value for key, value in where.items()},
        "PYTHONUNBUFFERED": "1",
    }
    what = ["tests/faults/test_killed_workers.py"] if seen.quick else ["tests/faults"]
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *what]
    listed = subprocess.run(
        [*pytest, "-q", "--collect-only", "-n0"], env=env, capture_output=True, text=True, check=False
    )
    seen.collected = sum(int(found[1]) for line in listed.stdout.splitlines() if (found := COUNTED.match(line)))
    tail: list[str] = []
    argv = [*pytest, "-v", "-n2"]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        assert running.stdout
        try:
            for line in running.stdout:
                tail = [*tail[-120:], line]
                if line.startswith("[gw") and (done := DONE.search(line)):  # not those of the summary
                    how, name, case = done.groups()
                    seen.tests.setdefault(name, Counter())[how] += 1
                    if how in {"FAILED", "ERROR"}:
                        seen.failed_tests.append(f"{name}.py::{case}")
                    say(f"{seen.clock()} {how} {name}.py::{case}")
                    seen.write()
        finally:
            if running.poll() is None:  # interrupted: each of its processes clears its own away
                os.killpg(running.pid, signal.SIGINT)
                running.communicate(timeout=CLEARED_S)
    if running.returncode:
        say("".join(tail))


def _revision() -> str:
    """Return the commit, and whether there is more than it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "tests")
    return f"{git('rev-parse', '--short', 'HEAD') or 'unknown'}{' with changes' if changed else ''}"
