"""An Incus daemon of a test's own, to be killed and started again as it likes; or members of a cluster of them.

Each runs in a mount namespace of its own, a member of a cluster in a network namespace too. A process holds them, so
that a daemon that is started again finds its mounts as it left them; when all processes in it are gone, so are they.
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openvps.ops import pool_unit

PATH = "/usr/libexec/incus:/usr/lib/incus:/opt/incus/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
START_S = 60

# In the namespaces, before the daemon: a network of its own is seen in a /sys of its own, which lacks the cgroups.
OWN_SYS = """
mkdir -p "$1/cgroup" && mount --rbind /sys/fs/cgroup "$1/cgroup" &&
mount -t sysfs sysfs /sys && mount --rbind "$1/cgroup" /sys/fs/cgroup && ip link set lo up &&
"""
HOLD = "echo held; exec sleep infinity"


@dataclass
class Incusd:
    """One daemon; `network`: in a network namespace of its own, with no way out of it yet."""

    folder: Path
    network: bool = False
    _holder: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _mounts: str = field(default="", repr=False)  # the mount namespace
    _daemon: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def socket(self) -> Path:
        return self.folder / "incus" / "unix.socket"

    @property
    def holder(self) -> int:
        """The process whose namespaces are the daemon's."""
        assert self._holder is not None
        return self._holder.pid

    def hold(self) -> None:
        """Make the namespaces."""
        (self.folder / "incus").mkdir(parents=True, mode=0o711)
        unshare = ["unshare", "--mount", "--propagation=slave", *(["--net"] if self.network else [])]
        script = (OWN_SYS if self.network else "") + HOLD
        argv = ["setpriv", "--pdeathsig=KILL", *unshare, "sh", "-ec", script, "sh", str(self.folder)]
        # In a session of its own: a signal for us all isn't for it, which is needed to clear away.
        self._holder = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._holder.stdout
        assert self._holder.stdout.readline() == b"held\n", "the namespaces couldn't be made"
        self._mounts = _space(self.holder)

    def inside(self, *argv: str) -> list[str]:
        """Return the words that run a program in the namespaces."""
        return ["nsenter", f"--target={self.holder}", "--mount", *(["--net"] if self.network else []), *argv]

    def start(self, *, ready: bool = True) -> None:
        """Start the daemon, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._daemon = subprocess.Popen(
                [*self.inside("setpriv", "--pdeathsig=KILL", "incusd", "--group", "incus-admin")],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if ready:
            self.wait_ready()

    def wait_ready(self) -> None:
        argv = ["incusd", "waitready", f"--timeout={START_S}"]
        done = subprocess.run(argv, env=self._environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stderr}\n{(self.folder / 'log').read_text()[-2000:]}"

    def disk(self, pool: str, name: str) -> Path:
        """Return where the disk of an instance is, as the daemon sees it; its project is named as its pool."""
        return Path(f"/proc/{self.holder}/root{self.folder}/incus/storage-pools/{pool}/containers/{pool}_{name}")

    def kill(self) -> None:
        """Kill the daemon as the kernel would for want of memory; its servers run on."""
        assert self._daemon is not None
        self._daemon.kill()
        self._daemon.wait()

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run the `incus` client and return what it printed."""
        done = subprocess.run(
            ["incus", *arguments],
            env=self._environment(),
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"incus {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--format", "json"))

    def end(self) -> None:
        """End everything that runs in the namespaces, servers too, and remove the folder."""
        for _ in range(3):  # a monitor that sees its server end may start something yet
            for pid in _processes(self._mounts):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        for process in (self._daemon, self._holder):
            if process is not None:
                process.kill()
                process.communicate()
        until(lambda: not _processes(self._mounts))
        self._forget_chains()
        subprocess.run(["rm", "-rf", "--one-file-system", "--", str(self.folder)], check=True)

    @contextlib.contextmanager
    def counted(self, pool: str) -> Generator[None]:
        """Have disks of a btrfs pool counted anew when the kernel loses count, as a unit of its host does."""
        watch = pool_unit.watch(self.folder / "incus" / "storage-pools" / pool)
        with subprocess.Popen(self.inside("sh", "-c", watch), stdin=subprocess.DEVNULL) as unit:
            try:
                yield
            finally:
                unit.kill()

    def _forget_chains(self) -> None:
        """Remove what the firewall here keeps of servers that were killed; a network of its own went with them."""
        servers = {f".{folder.name}." for folder in (self.folder / "incus" / "logs").glob("*_*")}
        listed = subprocess.run(["nft", "--json", "list", "chains", "inet"], check=True, capture_output=True).stdout
        chains = [one["chain"]["name"] for one in json.loads(listed)["nftables"] if "chain" in one]
        left = [name for name in chains if not self.network and any(server in name for server in servers)]
        for verb in ("flush", "delete"):
            for name in left:
                subprocess.run(["nft", verb, "chain", "inet", "incus", name], check=True)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "INCUS_DIR": str(self.folder / "incus"), "PATH": PATH, "HOME": str(self.folder)}


def _processes(space: str) -> list[int]:
    """Return the processes in a mount namespace, and their servers', which are monitors' children."""
    found: set[int] = set()
    parents: dict[int, int] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            pid = int(process.name)
            parents[pid] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if _space(pid) == space:
                found.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def _space(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/mnt").readlink())


def until(seen: Callable[[], object], within_s: float = 20) -> None:
    """Look again until it is seen."""
    began = time.monotonic()
    while not seen():
        assert time.monotonic() - began < within_s, "it was never seen"
        time.sleep(0.05)


@contextlib.contextmanager
def an_incusd(*, project: str, driver: str = "dir", size: str | None = None) -> Generator[Incusd]:
    """Run a daemon with a project and a storage pool of this name until the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="openvps-incusd-", dir="/var/lib"))
    folder.chmod(0o711)
    daemon = Incusd(folder)
    try:
        daemon.hold()
        daemon.start()
        daemon.run("storage", "create", project, driver, *([f"size={size}"] if size else []))
        daemon.run("project", "create", project, *FEATURES)
        yield daemon
    finally:
        daemon.end()


FEATURES = ("-c", "features.images=true", "-c", "features.profiles=true", "-c", "features.storage.volumes=true")
