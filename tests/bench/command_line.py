"""`script/bench cli`: how long a command of a customer takes, beside an empty Python.

Wall time and CPU time of whole processes, medians. The API is a stub that answers at once, so what is seen is ours.
Target: `openvps --help` under 0.3 s.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tables import say

from published_stub import published_stub

HELP_S = 0.3
OPENVPS = str(Path(sys.executable).parent / "openvps")
COMMANDS = {
    "an empty Python": [sys.executable, "-c", "pass"],
    "openvps --help": [OPENVPS, "--help"],
    "openvps server create --help": [OPENVPS, "server", "create", "--help"],
    "openvps server list": [OPENVPS, "server", "list"],
    "completion of a server's name": [OPENVPS, "__complete", "server", "show", ""],
}


def run(*, rounds: int) -> bool:
    """Print the medians; returns whether the target was met."""
    wall: dict[str, list[float]] = {name: [] for name in COMMANDS}
    cpu: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with published_stub() as url:
        environment = {**os.environ, "OPENVPS_API_URL": url, "OPENVPS_TOKEN": "YOUR_API_TOKEN"}
        for _ in range(rounds):  # in turn, so that a busy moment hits all of them
            for name, argv in COMMANDS.items():
                took, used = _timed(argv, environment)
                wall[name].append(took)
                cpu[name].append(used)
    say(f"{'':32} {'wall':>8} {'CPU':>8}   (medians of {rounds}, seconds)")
    for name in COMMANDS:
        say(f"{name:32} {statistics.median(wall[name]):8.3f} {statistics.median(cpu[name]):8.3f}")
    met = statistics.median(wall["openvps --help"]) < HELP_S
    say(f"target: --help under {HELP_S} s: {'met' if met else 'NOT met'}")
    return met


def _timed(argv: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return wall and CPU time of a program. Raises RuntimeError where it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)  # so that its end isn't waited for again
    if process.returncode:
        raise RuntimeError(f"{argv}: exit code {process.returncode}")
    return took, used.ru_utime + used.ru_stime
