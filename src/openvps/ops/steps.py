"""What `openvps up` says while it prepares: a spinner a step for a person, a line a step for a log."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console


class Steps:
    """Says each step, how long it took, and what was decided on the way."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, name: str, *, quiet: bool = False) -> Generator[list[str]]:
        """Say that `name` is done at the end of the block, with the notes that the block appends.

        `quiet` is for what shows its own progress.
        """
        notes: list[str] = []
        began = time.monotonic()
        if quiet or not self.console.is_terminal:
            yield notes
        else:
            with self.console.status(f"{name} ..."):
                yield notes
        text = f" ({'; '.join(notes)})" if notes else ""
        self.say(f"{name}: ready in {time.monotonic() - began:.1f} s{text}")

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, markup=False)
