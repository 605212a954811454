"""Units of systemd that are ours: written whole, enabled, and taken away."""

import contextlib
import sys
from pathlib import Path

from openvps.ops.machine import NotReady
from openvps.ops.run import ProgramFailed, run

UNITS = Path("/etc/systemd/system")
PROGRAM = f"{sys.executable} -P -m openvps"


def differs(file: Path, text: str) -> bool:
    """Whether a file isn't there, or says something else."""
    return not file.exists() or file.read_text() != text


def replace(file: Path, text: str, mode: int = 0o600) -> None:
    """Write a file that is whole at any moment, and never readable by more than `mode` says."""
    fresh = file.with_name(f".{file.name}.openvps")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.chmod(mode)
    fresh.write_text(text)
    fresh.rename(file)


def enable(file: Path, text: str) -> None:
    """Write a unit, and have systemd start it as its [Install] says. Raises NotReady."""
    replace(file, text, 0o644)
    try:
        run(["systemctl", "daemon-reload"])
        run(["systemctl", "enable", "--quiet", file.name])
    except ProgramFailed as error:
        raise NotReady(f"systemd doesn't take {file.name}: {error}") from error


def remove(file: Path, *, stop: bool) -> None:
    """Take a unit away, and end what it runs where `stop` says so; there being none is success."""
    if not file.exists():
        return
    with contextlib.suppress(ProgramFailed):  # what is left of it goes below
        run(["systemctl", "disable", *(["--now"] if stop else []), "--quiet", file.name])
    file.unlink()
    run(["systemctl", "daemon-reload"])
