"""btrfs keeps servers to their disks' sizes only while its quota groups are consistent.

The kernel can lose count (Linux 6.18: "to be deleted qgroup has non-zero numbers", when a subvolume goes) and then
enforces nothing, silently, until somebody has it count again. That takes root, so `openvps up` watches its own
daemon's pool for as long as it runs, and a unit that of systemd's (`pool_unit`); `openvps doctor` looks when asked.
"""

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from openvps.engine.incus.instances import SPARE_STEP
from openvps.ops.run import ProgramFailed, run

_SYSTEM = Path("/sys/fs/btrfs")
# Of `btrfs qgroup show`: group, bytes referenced, exclusive, and referenced at most.
_LIMITED = re.compile(r"^(\d+/\d+) +(\d+) +\d+ +(\d+) ", re.MULTILINE)
LOOK_S = 2.0  # for as long a server may outgrow its disk; a look reads one line
BLOCK = 16 << 10  # bytes: one of btrfs's own


def counts(mount: Path) -> bool:
    """Whether btrfs, mounted at `mount`, keeps servers to their disks' sizes; other file systems do it otherwise."""
    return run(["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(mount)]).strip() == "btrfs"


def inconsistent(mount: Path) -> bool:
    """Whether the file system mounted at `mount` is btrfs and has lost count of its quota groups."""
    return _lost(_flag(mount))


def count_again(mount: Path) -> None:
    """Have the kernel count anew, and wait for it: seconds for a pool that is not huge.

    What outgrew its quota meanwhile is given SPARE_STEP above what it holds: in it not a file can be deleted, and the
    engine could neither start it nor give it room, as a limit changed from within is a change that the limit refuses.
    """
    run(["btrfs", "quota", "rescan", "-w", str(mount)])
    # As text: btrfs-progs 6.2 crashes when it is to write a limit as JSON.
    shown = run(["btrfs", "qgroup", "show", "-r", "--raw", "--sync", str(mount)])
    for group, held, most in _LIMITED.findall(shown):
        if int(held) + BLOCK > int(most):
            run(["btrfs", "qgroup", "limit", str(int(held) + SPARE_STEP), group, str(mount)])


def keep_counted(mount: Path, say: Callable[[str], None]) -> None:
    """Look every LOOK_S, for as long as this process lives, and have a lost count made good."""
    flag = _flag(mount)

    def watch() -> None:
        while mount.exists():
            time.sleep(LOOK_S)
            try:  # the engine turns quotas on with the first disk of a size
                if _lost(flag):
                    count_again(mount)
                    say("storage: btrfs had lost count of its quotas; counted anew")
            except (OSError, ProgramFailed) as error:  # the pool may be taken away beneath us
                say(f"storage: {mount}: {error}")
                return

    threading.Thread(target=watch, name="btrfs-quota", daemon=True).start()


def _lost(flag: Path) -> bool:
    return flag.exists() and flag.read_text().strip() == "1"


def _flag(mount: Path) -> Path:
    """Return where the kernel says whether it lost count; there is no such file for what has no quotas."""
    uuid = run(["findmnt", "--noheadings", "--output", "UUID", "--target", str(mount)]).strip()
    return _SYSTEM / uuid / "qgroups" / "inconsistent"
