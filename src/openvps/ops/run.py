"""Running the machine's programs: argument lists in, an error that says everything out."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass
class ProgramFailed(Exception):
    """A program couldn't be started or ended with another code than 0."""

    argv: Sequence[str]
    code: int
    stderr: str

    def __str__(self) -> str:
        """Say what was run and what it answered."""
        return f"{' '.join(self.argv)}: exit code {self.code}: {self.stderr.strip()[-2000:]}"


def run(
    argv: Sequence[str],
    *,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> str:
    """Run a program to its end and return what it wrote to standard output.

    `env` is added to ours. Raises ProgramFailed, with code 127 where there is no such program and 124 where it took
    over `timeout_s`.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise ProgramFailed(argv, 127, f"{error.filename}: no such program") from error
    except subprocess.TimeoutExpired as error:
        raise ProgramFailed(argv, 124, f"not done after {timeout_s} s") from error
    if done.returncode:
        raise ProgramFailed(argv, done.returncode, done.stderr or done.stdout)
    return done.stdout
