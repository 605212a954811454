"""A unit of systemd that has btrfs count servers' disks anew, wherever systemd runs Incus: see `btrfs_quota`.

`openvps up` watches its own daemon's pool for as long as it runs. But on another cell's host nothing of ours runs,
nor does `up` where api and worker are services. What looks is a shell, for it only reads a line; what counts is
`openvps host recount`.
"""

import contextlib
import shlex
import sys
from pathlib import Path

from openvps.core.settings import Settings
from openvps.ops.boot import UNITS, folder, replace
from openvps.ops.btrfs_quota import LOOK_S
from openvps.ops.machine import NotReady
from openvps.ops.run import ProgramFailed, run

WATCH = """\
flag=
while sleep {look_s:g}; do
  [ -e "$flag" ] ||
    flag=/sys/fs/btrfs/$(findmnt --noheadings --output UUID --mountpoint {mount})/qgroups/inconsistent
  {{ read -r lost <"$flag"; }} 2>/dev/null || continue
  [ "$lost" != 1 ] || {program} host recount {mount}
done
"""


def unit_name(settings: Settings) -> str:
    """Return the unit's name: one an installation, as the pool."""
    return f"{settings.project}-storage.service"


def ensure(settings: Settings, mount: Path, *, units: Path = UNITS) -> bool:
    """Have the pool mounted at `mount` watched; returns whether anything changed. Raises NotReady."""
    name, script = unit_name(settings), folder(settings) / "storage.sh"
    wanted = {units / name: (unit(settings), 0o644), script: (watch(mount), 0o600)}
    changed = [file for file, (text, _) in wanted.items() if not file.exists() or file.read_text() != text]
    script.parent.mkdir(mode=0o700, exist_ok=True)
    for file in changed:
        replace(file, *wanted[file])
    try:
        if changed:
            run(["systemctl", "daemon-reload"])
        run(["systemctl", "enable", "--quiet", name])
        run(["systemctl", "restart" if changed else "start", name])
    except ProgramFailed as error:
        raise NotReady(f"systemd doesn't take {name}: {error}") from error
    return bool(changed)


def remove(settings: Settings, *, units: Path = UNITS) -> None:
    """End and take the unit away; there being none is success."""
    file = units / unit_name(settings)
    if not file.exists():
        return
    with contextlib.suppress(ProgramFailed):  # what is left of it goes below
        run(["systemctl", "disable", "--now", "--quiet", file.name])
    file.unlink()
    run(["systemctl", "daemon-reload"])


def watch(mount: Path) -> str:
    """Return what the unit's shell does, for as long as it lives."""
    program = shlex.join([sys.executable, "-P", "-m", "openvps"])
    return WATCH.format(look_s=LOOK_S, mount=shlex.quote(str(mount)), program=program)


def unit(settings: Settings) -> str:
    """Return the unit's text."""
    script = folder(settings) / "storage.sh"
    return f"""\
[Unit]
Description=Keeps OpenVPS's servers to their disks ({settings.project})
After=incus.service
RequiresMountsFor={script}
ConditionPathExists={script}

[Service]
ExecStart=/bin/sh {script}
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
"""
