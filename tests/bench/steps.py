"""Random operations against a model: the property test of the same name, with many more steps."""

import os
import sys
import time

import pytest
from tables import say

TEST = "tests/properties/test_operations.py"


def run(steps: int) -> bool:
    """Run so many steps; returns whether nothing was found."""
    os.environ["OPENVPS_TEST_STEPS"] = str(steps)
    began = time.monotonic()
    code = pytest.main(["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-n0", TEST])
    sys.stdout.flush()
    found = "nothing" if code == 0 else "something"
    say(f"{steps} steps on a SIMULATED engine in {time.monotonic() - began:.0f} s: {found} found")
    return code == 0
