"""From installed packages to a server's root: our files laid over, everything of the build taken out.

No two servers may share a secret, so the image holds no host key, machine-id or random seed; each server makes its
own at its first boot.
"""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from openvps.ops.image.recipes import GENERATORS, MASKED, ON_DEMAND, Recipe
from openvps.ops.image.sources import Source

_OVERLAY = Path(__file__).parent / "overlay"
_REMOVED = (
    "etc/ssh/ssh_host_*",
    "etc/.pwd.lock",
    "etc/*-",  # passwd-, group-, …: what they were before the last package
    "etc/apt/sources.list",
    "etc/apt/sources.list.d/*",
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "etc/fstab",
    "dev/*",
    "run/*",
    "tmp/*",
    "root/.bash_history",
    "var/cache/apt/*.bin",
    "var/cache/debconf/*-old",
    "var/lib/apt/lists/*",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/*-old",
    "var/lib/systemd/random-seed",
    "var/log/apt/*",
    "var/log/*.log",
)
_WANTED = {  # unit, by what it is wanted
    "cloud-init.target": "multi-user.target",  # its services look for user_data; no generator has to
}
_PRIVATE = (
    "root/.ssh/authorized_keys",
    "var/lib/cloud/seed/nocloud-net/meta-data",
    "var/lib/cloud/seed/nocloud-net/user-data",
)
_TARGET = "/lib/systemd/system"


def finish(root: Path, recipe: Recipe, archives: Sequence[Source]) -> None:
    """Make a server's root of `root`, into which the packages were installed."""
    for pattern in _REMOVED:
        for path in root.glob(pattern):
            _remove(path)
    _lay_over(root)
    _write(root / "etc/machine-id", "", 0o444)  # empty: systemd makes one, without first-boot questions
    _write(root / "etc/hostname", "server\n")
    _write(root / "etc/resolv.conf", "")
    for private in _PRIVATE:  # the engine fills them in and keeps their modes
        (root / private).parent.mkdir(parents=True, exist_ok=True)
        (root / private).parent.chmod(0o700)
        _write(root / private, "", 0o600)
    stanzas = "\n".join(source.stanza(recipe.keyring) for source in archives)
    _write(root / f"etc/apt/sources.list.d/{recipe.distribution}.sources", stanzas)
    _own_name_first(root / "etc/nsswitch.conf")
    _units(root)
    _updated(root)


def _lay_over(root: Path) -> None:
    for source in sorted(_OVERLAY.rglob("*")):
        target = root / source.relative_to(_OVERLAY)
        if source.is_dir():
            target.mkdir(mode=0o755, exist_ok=True)
        else:
            _write(target, source.read_text())


def _own_name_first(nsswitch: Path) -> None:
    """Have the server's own name answered before DNS is asked (Ubuntu asks it first): sudo waits for that answer."""
    lines = nsswitch.read_text().splitlines()
    hosts = "hosts:          files myhostname dns"
    _write(nsswitch, "\n".join(hosts if line.startswith("hosts:") else line for line in lines) + "\n")


def _units(root: Path) -> None:
    """Mask what a container never needs, and enable what we brought."""
    etc = root / "etc/systemd/system"
    for unit in MASKED:
        _link(etc / unit, "/dev/null")
        for wants in etc.glob(f"*.wants/{unit}"):
            wants.unlink()
    for unit, by in _WANTED.items():
        _link(etc / f"{by}.wants" / unit, f"{_TARGET}/{unit}")
    _link(etc / "default.target", f"{_TARGET}/multi-user.target")
    for by, units in ON_DEMAND.items():
        for unit in units:
            _link(etc / f"{by}.wants" / unit, "/dev/null")
    for generator in GENERATORS:
        _link(root / "etc/systemd/system-generators" / generator, "/dev/null")


def _updated(root: Path) -> None:
    """Tell systemd that /etc and /var are as new as /usr: users, caches and links need no rebuilding at boot."""
    for path in ("etc", "var"):
        stamp = f"# Written when the image was built.\nTIMESTAMP_NSEC={time.time_ns()}\n"
        _write(root / path / ".updated", stamp)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    if path.is_symlink():
        path.unlink()
    path.write_text(text)
    path.chmod(mode)


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
