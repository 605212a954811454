"""Slow proofs on a Debian 12 machine with systemd of their own: a table of what was seen, in order.

Each line was seen, in this order, or the run ends with the one that wasn't. The machine is made in `nested`, whose
docstring says what it is helped with from outside. The repository is a clean clone of what is committed.
"""

import contextlib
import secrets
import tempfile
import time
from collections.abc import Callable, Generator
from ipaddress import IPv4Network
from pathlib import Path

from nested import NAME, Nested, nested, settings_beside
from tables import say, table

from openvps.ops.run import ProgramFailed, run

REPOSITORY = Path(__file__).parents[2]
CLONE = "/root/openvps"
BACK_S = 60
WITHIN_S = 180.0


class NotSeen(Exception):
    """What should have been seen wasn't."""


def until(look: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    """Wait until something is as it should be. Raises NotSeen."""
    end = time.monotonic() + within_s
    while not look():
        if time.monotonic() > end:
            raise NotSeen(f"not within {within_s:.0f} s: {what}")
        time.sleep(0.3)


class Seen:
    """The table: what was seen, what it said, and how long it took."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []

    @contextlib.contextmanager
    def step(self, what: str) -> Generator[list[str]]:
        """Note a step with the words that its block appends; what it raises is noted too."""
        notes: list[str] = []
        began, ended = time.monotonic(), "FAILED"
        try:
            yield notes
            ended = "; ".join(notes) or "yes"
        finally:
            self.rows.append([what, ended, f"{time.monotonic() - began:.1f}"])
            say(f"{what}: {ended} ({self.rows[-1][2]} s)")


Walk = Callable[[Nested, Seen, Path], None]


def prove(walk: Walk) -> bool:
    """Make the machine, go the whole way in it, and remove it; returns whether all was seen."""
    seen = Seen()
    work = Path(tempfile.mkdtemp(prefix="openvps-whole-", dir="/var/lib"))
    work.chmod(0o755)
    number = secrets.randbelow(1 << 14)
    pool = IPv4Network((f"10.{192 + number // 256}.{number % 256}.0", 24))
    settings = settings_beside(work / "data", f"{chr(97 + number % 26)}{chr(97 + number // 26 % 26)}", pool)
    failed = True
    try:
        with contextlib.ExitStack() as stack:
            with seen.step("Debian 12 made of this machine's apt sources"):
                machine = stack.enter_context(nested(settings))
            with seen.step("systemd has booted it") as notes:
                run(machine.incus("start", NAME), env=machine.client)
                notes += [machine.booted(), *failed_units(machine)]
            with seen.step("a clean clone is in it") as notes:
                notes.append(clone(machine, work))
            walk(machine, seen, work)
            failed = False
    except (NotSeen, ProgramFailed, TimeoutError) as error:
        say(f"\nnot as it should be: {error}")
        say_ends(work)
    finally:
        run(["rm", "-rf", "--one-file-system", "--", str(work)])
    say("\n" + table(["step", "seen", "seconds"], seen.rows))
    return not failed


def say_ends(folder: Path) -> None:
    """Print how each log in a folder ends."""
    for log in sorted(folder.glob("*.log")):
        say(f"\n{log.name} ends with:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-20:]))


def clone(machine: Nested, work: Path) -> str:
    """Put a clone of what is committed into the machine; returns the commit."""
    clone, packed = work / "clone", work / "clone.tar"
    run(["git", "clone", "--quiet", "--depth=1", f"file://{REPOSITORY}", str(clone)])
    run(["tar", "--create", "--owner=0", "--group=0", f"--file={packed}", f"--directory={clone}", "."])
    machine.run("mkdir", CLONE)
    run(machine.incus("file", "push", str(packed), f"{NAME}{CLONE}.tar"), env=machine.client)
    machine.run("tar", "--extract", f"--file={CLONE}.tar", f"--directory={CLONE}")
    return run(["git", "-C", str(clone), "rev-parse", "--short", "HEAD"]).strip()


def failed_units(machine: Nested) -> list[str]:
    """Return the units that failed, as notes."""
    listed = machine.shell("systemctl list-units --failed --plain --no-legend").splitlines()
    return [f"failed: {line.split()[0]}" for line in listed]


def reboot(machine: Nested, *, whole: bool = True) -> list[str]:
    """Reboot the machine and wait until it has booted, or only begun to; returns notes. Raises NotSeen."""
    boot = "cut -d' ' -f22 /proc/1/stat"  # when its init started
    before = machine.shell(boot)
    with contextlib.suppress(ProgramFailed):  # it may be gone before the answer is
        machine.run("systemctl", "reboot")
    deadline, now = time.monotonic() + BACK_S, before
    while now == before:
        if time.monotonic() > deadline:
            raise NotSeen(f"the machine did not reboot within {BACK_S} s")
        time.sleep(0.5)
        with contextlib.suppress(ProgramFailed):
            now = machine.shell(boot)
    return [machine.booted(), *failed_units(machine)] if whole else []
