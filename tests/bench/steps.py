"""Random operations against a model: the property test of the same name, with many more steps."""

import os
import subprocess
import sys
import time

from tables import say

TEST = "tests/properties/test_operations.py"


def run(steps: int) -> bool:
    """Run so many steps; returns whether nothing was found."""
    load = f"{os.getloadavg()[0]:.1f}"
    began = time.monotonic()
    # In a process of its own, whose warnings are of its own imports; how far it is goes past what it captures.
    words = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-n0", "--capture=sys", TEST]
    env = {**os.environ, "OPENVPS_TEST_STEPS": f"{steps}"}
    done = subprocess.run([sys.executable, "-m", "pytest", *words], env=env, check=False)
    found = "nothing" if done.returncode == 0 else "something"
    took = f"{time.monotonic() - began:.0f} s, load average {load} at the start, {os.getloadavg()[0]:.1f} at the end"
    say(f"{steps} steps on a SIMULATED engine in {took}: {found} found")
    return done.returncode == 0
