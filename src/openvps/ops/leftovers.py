"""What an engine may leave in the kernel when it is taken away: mounts, loop devices, control groups."""

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

from openvps.ops.run import ProgramFailed, run

CGROUPS = Path("/sys/fs/cgroup")


def mounts_below(folder: Path, mountinfo: str) -> list[str]:
    """Return the mount points in and below `folder`, the innermost first, from the text of /proc/self/mountinfo."""
    points = [_unescaped(line.split()[4]) for line in mountinfo.splitlines()]
    return [point for point in reversed(points) if Path(point).is_relative_to(folder)]


def unmount_below(folder: Path) -> None:
    """Unmount everything in and below `folder`, busy or not."""
    for point in mounts_below(folder, Path("/proc/self/mountinfo").read_text()):
        with contextlib.suppress(ProgramFailed):  # gone with an outer one
            run(["umount", "--lazy", point])


def detach_loops_below(folder: Path) -> None:
    """Detach the loop devices whose files are below `folder`."""
    said = run(["losetup", "--list", "--json", "--output", "NAME,BACK-FILE"])
    devices: list[dict[str, Any]] = json.loads(said)["loopdevices"] if said.strip() else []
    for device in devices:
        if Path((device["back-file"] or "").removesuffix(" (deleted)")).is_relative_to(folder):
            with contextlib.suppress(ProgramFailed):  # detached itself meanwhile
                run(["losetup", "--detach", device["name"]])


def remove_cgroups(project: str) -> None:
    """Remove the empty control groups of a project's servers; those in use stay."""
    ours = (f"lxc.payload.{project}_", f"lxc.monitor.{project}_")
    # The innermost first. Others' servers start and stop meanwhile: a walk bears groups that go under it.
    for group, _, _ in os.walk(CGROUPS, topdown=False):
        if any(part.startswith(ours) for part in Path(group).parts):
            with contextlib.suppress(OSError):
                Path(group).rmdir()


def _unescaped(point: str) -> str:
    """Undo mountinfo's octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)
