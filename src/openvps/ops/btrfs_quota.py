"""btrfs keeps servers to their disks' sizes only while its quota groups are consistent.

The kernel can lose count (seen once, while an image's subvolume was deleted) and then enforces nothing, silently,
until somebody has it count again. `openvps up` looks at every start, and `openvps doctor` whenever it is asked.
"""

from pathlib import Path

from openvps.ops.run import run

_SYSTEM = Path("/sys/fs/btrfs")


def inconsistent(mount: Path) -> bool:
    """Whether the file system mounted at `mount` is btrfs and has lost count of its quota groups."""
    return any(_flag(place) for place in _SYSTEM.glob("*/qgroups/inconsistent") if _uuid(mount) == place.parts[4])


def count_again(mount: Path) -> None:
    """Have the kernel count anew, and wait for it: seconds for a pool that is not huge."""
    run(["btrfs", "quota", "rescan", "-w", str(mount)])


def _flag(place: Path) -> bool:
    return place.read_text().strip() == "1"


def _uuid(mount: Path) -> str:
    return run(["findmnt", "--noheadings", "--output", "UUID", "--target", str(mount)]).strip()
