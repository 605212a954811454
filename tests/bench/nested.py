"""A whole Debian 12 machine with systemd in a system container of an Incus of our own; the kernel is this host's.

The container is privileged and nesting. What a machine has and a container hasn't, we give it from outside:

- every device by its control group, and the nodes of loop and btrfs devices, which udev would have made;
- lxcfs, which the distribution doesn't start in containers;
- control groups: where this host has version 1 and `cpu` apart from `cpuacct`, systemd can't mount the pair as it
  wants to, and then the engine inside sees no CPU limits. Each is mounted by itself, at every boot.

What it must not have, since the kernel is this host's: a say in which programs the kernel runs (systemd-binfmt). The
kernel limits that `openvps up` raises inside (`ops/machine.py`) are this host's, and stay raised, as after any `up`.

Its packages come from this machine's own apt sources. How this machine's apt, pip and uv reach theirs (proxies,
certificates, indexes) is handed in when it runs, and is kept nowhere else.
"""

import contextlib
import json
import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path

from openvps.core.settings import Settings
from openvps.ops import down, hostnet, incus_daemon, incus_project, lock, machine
from openvps.ops.image.build import mmdebstrap
from openvps.ops.image.recipes import RECIPES
from openvps.ops.image.sources import sources
from openvps.ops.run import ProgramFailed, run

NAME = "machine"
BOOT_S = 90
PACKAGES = ("systemd-sysv", "dbus", "ca-certificates", "iproute2", "procps", "kmod", "netbase")
HANDED_IN = re.compile(r"(PIP|UV|SSL_CERT)_\w+|(HTTPS?|ALL|NO)_PROXY", re.IGNORECASE)
PIPS_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf", "~/.config/uv/uv.toml", "/etc/uv/uv.toml")
APTS = ("http", "https", "proxy", "retries", "check-date", "check-valid-until", "max-futuretime")
UNIT = """\
[Unit]
Description=What a machine has and a container hasn't
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
ExecStart=/bin/sh /usr/local/sbin/as-a-machine
"""
NOT_IN_A_CONTAINER = "[Unit]\nConditionVirtualization=!container\n"
AS_A_MACHINE = """\
node() { [ -e "$1" ] || mknod -m 660 "$@"; }
node /dev/loop-control c 10 237
node /dev/btrfs-control c 10 234
for number in $(seq 0 255); do node "/dev/loop$number" b 7 "$number"; done
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || exit 0
mount -o remount,rw /sys/fs/cgroup
while IFS=: read -r number controllers path; do
  at=/sys/fs/cgroup/$controllers
  if [ "$number" = 0 ] || [ -z "${controllers%%name=*}" ] || mountpoint -q "$at"; then continue; fi
  rm -f "$at"
  mkdir -p "$at"
  mount -t cgroup -o "$controllers" cgroup "$at"
done </proc/self/cgroup
"""


@dataclass(frozen=True)
class Nested:
    """The running machine; programs are run in it as root."""

    settings: Settings
    environment: dict[str, str]

    def argv(self, *argv: str) -> list[str]:
        """Return the words that run `argv` in the machine."""
        given = [f"--env={name}={value}" for name, value in self.environment.items()]
        return [*self.incus("exec", NAME), *given, "--", *argv]

    def run(self, *argv: str, stdin: str = "", timeout_s: float = 120) -> str:
        """Run a program in the machine and return what it printed. Raises ProgramFailed."""
        return run(self.argv(*argv), stdin=stdin, env=self.client, timeout_s=timeout_s)

    def shell(self, line: str, timeout_s: float = 120) -> str:
        """Have a shell in the machine read a line, as one pastes it."""
        return self.run("bash", "-c", line, timeout_s=timeout_s)

    def start(self, line: str, log: Path) -> subprocess.Popen[bytes]:
        """Begin a line in the machine; what it says goes to a file here."""
        with log.open("wb") as out:
            return subprocess.Popen(
                self.argv("bash", "-c", line),
                env={**os.environ, **self.client},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def put(self, text: bytes, path: str) -> None:
        """Write a file in the machine, also while it is off."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(text)
            file.flush()
            run(
                self.incus("file", "push", "--create-dirs", "--mode=0644", file.name, f"{NAME}{path}"),
                env=self.client,
            )

    def booted(self) -> str:
        """Wait until systemd says that the machine has booted; returns its word, `running` or `degraded`."""
        end = time.monotonic() + BOOT_S
        while True:
            with contextlib.suppress(ProgramFailed):  # not there yet, or on its way down
                word = self.shell("systemctl is-system-running || true").strip()
                if word in {"running", "degraded"}:
                    return word
            if time.monotonic() > end:
                raise TimeoutError(f"systemd has not booted the machine within {BOOT_S} s")
            time.sleep(0.2)

    def incus(self, *words: str) -> list[str]:
        """Return a command of the client, for this machine's own daemon and project."""
        return ["incus", "--project", self.settings.project, *words]

    @property
    def client(self) -> dict[str, str]:
        """The variables by which the client finds our daemon, and keeps out of the home folder."""
        folder = incus_daemon.folder(self.settings)
        return {"INCUS_DIR": str(folder), "INCUS_CONF": str(self.settings.data_dir / "client")}


@contextlib.contextmanager
def nested(settings: Settings) -> Generator[Nested]:
    """Make the machine, off; whatever happens, everything is gone at the end."""
    machine.ensure_users()
    machine.ensure_folders(settings)
    with lock.held(settings):
        try:
            hostnet.apply(settings, settings.project)
            incus_daemon.folder(settings).mkdir()  # one of our own, whatever else runs
            daemon = incus_daemon.ensure(settings)
            pool = incus_project.ensure(daemon.socket, settings)
            made = Nested(settings, _environment())
            _make(made, pool)
            yield made
        finally:
            down.remove(settings)


def settings_beside(folder: Path, letters: str, pool: IPv4Network) -> Settings:
    """Return settings that meet no other installation's; the machine may go wherever this host may."""
    return Settings(
        data_dir=folder,
        project=f"openvps-whole-{letters}",
        nic_prefix=f"w{letters}",
        ipv4_pool=pool,
        storage_driver="dir",
        allowed_private=["0.0.0.0/0"],
        block_smtp=False,
    )


def _make(made: Nested, pool: str) -> None:
    root, metadata = made.settings.data_dir / "root.tar", made.settings.data_dir / "metadata.tar"
    _build(root, made.settings.debian_mirror)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "metadata.yaml")
        file.write_text(json.dumps({"architecture": platform.machine(), "creation_date": int(time.time())}))
        run(["tar", "--create", f"--file={metadata}", f"--directory={folder}", file.name])
    run(made.incus("image", "import", str(metadata), str(root), "--alias", NAME), env=made.client)
    root.unlink()
    version = "2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else ""
    config = {
        "security.privileged": "true",
        "security.nesting": "true",
        "raw.lxc": f"lxc.cgroup{version}.devices.allow = a",
    }
    words = [word for key, value in config.items() for word in ("--config", f"{key}={value}")]
    run(made.incus("init", NAME, NAME, "--no-profiles", "--storage", pool, *words), env=made.client)
    nic = ["nictype=routed", "name=eth0", f"host_name={made.settings.nic_prefix}1"]
    address = f"ipv4.address={made.settings.ipv4_pool[5]}"
    run(made.incus("config", "device", "add", NAME, "eth0", "nic", *nic, address), env=made.client)
    _furnish(made)


def _build(root: Path, mirror: str | None) -> None:
    recipe = replace(RECIPES["debian-12"], packages=PACKAGES)
    argv = mmdebstrap(recipe, sources(recipe, mirror), root)
    argv.remove("--format=directory")  # then the name of the file says it
    run(argv, env={"TMPDIR": str(root.parent)})  # it works in a folder there, which we remove if it can't


def _furnish(made: Nested) -> None:
    """Write what an installer would have, and what only a container lacks."""
    recipe = RECIPES["debian-12"]
    stanzas = "\n".join(one.stanza(recipe.keyring) for one in sources(recipe, made.settings.debian_mirror))
    resolvers = "".join(f"nameserver {one}\n" for one in hostnet.nameservers(made.settings))
    files = {
        "/etc/apt/sources.list": "",
        "/etc/apt/sources.list.d/debian.sources": stanzas,
        "/etc/apt/apt.conf.d/90machine": _apts_ways(),
        "/etc/hostname": f"{NAME}\n",
        "/etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {NAME}\n",
        "/etc/resolv.conf": resolvers,
        "/etc/systemd/system/as-a-machine.service": UNIT,
        "/etc/systemd/system/sysinit.target.d/as-a-machine.conf": "[Unit]\nWants=as-a-machine.service\n",
        "/etc/systemd/system/lxcfs.service.d/as-a-machine.conf": "[Unit]\nConditionVirtualization=\n",
        "/etc/systemd/system/systemd-binfmt.service.d/as-a-machine.conf": NOT_IN_A_CONTAINER,
        "/usr/local/sbin/as-a-machine": AS_A_MACHINE,
    }
    for path, text in files.items():
        made.put(text.encode(), path)
    for name in (*PIPS_FILES, *made.environment.values()):
        file = Path(name).expanduser()
        if file.is_absolute() and file.is_file():
            made.put(file.read_bytes(), str(file).replace(str(Path.home()), "/root", 1))


def _environment() -> dict[str, str]:
    """Return this machine's variables that say how packages are reached."""
    return {"HOME": "/root", **{name: value for name, value in os.environ.items() if HANDED_IN.fullmatch(name)}}


def _apts_ways() -> str:
    """Return how this machine's apt reaches its sources, as apt says it."""
    lines = run(["apt-config", "dump", "Acquire"]).splitlines()
    return "".join(f"{line}\n" for line in lines if line.lower().startswith(tuple(f"acquire::{one}" for one in APTS)))
