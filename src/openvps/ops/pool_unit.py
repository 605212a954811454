"""A unit of systemd that has btrfs count servers' disks anew, wherever systemd runs Incus: see `btrfs_quota`.

`openvps up` watches its own daemon's pool for as long as it runs. But on another cell's host nothing of ours runs,
nor does `up` where api and worker are services. What looks is a shell, for it only reads a line; what counts is
`openvps host recount`.
"""

import shlex
from pathlib import Path

from openvps.core.settings import Settings
from openvps.ops.boot import folder
from openvps.ops.btrfs_quota import LOOK_S
from openvps.ops.machine import NotReady
from openvps.ops.run import ProgramFailed, run
from openvps.ops.units import PROGRAM, UNITS, differs, enable, replace
from openvps.ops.units import remove as take_away

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
    file, script = units / unit_name(settings), folder(settings) / "storage.sh"
    changed = differs(file, unit(settings)) or differs(script, watch(mount))
    if changed:
        script.parent.mkdir(mode=0o700, exist_ok=True)
        replace(script, watch(mount))
        enable(file, unit(settings))
    try:
        run(["systemctl", "restart" if changed else "start", file.name])
    except ProgramFailed as error:
        raise NotReady(f"{file.name} doesn't start: {error}") from error
    return changed


def remove(settings: Settings, *, units: Path = UNITS) -> None:
    """End and take the unit away; there being none is success."""
    take_away(units / unit_name(settings), stop=True)


def watch(mount: Path) -> str:
    """Return what the unit's shell does, for as long as it lives."""
    return WATCH.format(look_s=LOOK_S, mount=shlex.quote(str(mount)), program=PROGRAM)


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
