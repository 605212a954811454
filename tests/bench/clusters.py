"""A cluster of three as a cell over HTTPS: lived on, a member killed on the way, quorum lost and back."""

import asyncio
import os

from proof import say_ends
from tables import say, table

from cluster_cell import a_cell_of_three, act, lives, loses_a_member, loses_quorum


def run() -> bool:
    """Run all acts; returns whether everything was seen."""
    load = f"{os.getloadavg()[0]:.2f}"
    with a_cell_of_three() as (made, cluster):
        try:
            rows = asyncio.run(act(made, cluster, lives, loses_a_member, loses_quorum))
        except AssertionError as error:
            say(f"WRONG: {error}")
            say_ends(made.folder)
            return False
    say(f"A cluster of three Incus members as a cell over HTTPS; load average {load} at the start.\n")
    say(table(["step", "seen", "seconds"], rows))
    return True
