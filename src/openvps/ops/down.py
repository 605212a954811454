"""`openvps down`: the other end of `up`. Purged, nothing of OpenVPS is left but packages, users and kernel limits."""

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

from openvps.core import settings
from openvps.core.settings import Settings
from openvps.ops import (
    boot,
    farewell,
    hostnet,
    incus_daemon,
    incus_project,
    leftovers,
    lock,
    machine,
    operator_context,
    pool_unit,
    restart,
    service,
)
from openvps.ops.incus_rest import IncusFailed
from openvps.ops.machine import NotReady
from openvps.ops.processes import end
from openvps.ops.run import ProgramFailed

UP_ENDS_S = 100  # api, worker and database end one after another


def main(*, purge: bool, yes: bool) -> int:
    """Stop everything, and remove it if asked to; returns the exit code."""
    config = settings.load()
    try:
        machine.require_root()
        if purge and not yes and not _confirmed(config):
            return 1
        stop_up(config)
        service.remove(config) if purge else service.stop(config)
        if not lock.file(config).exists():
            print(f"openvps: nothing of OpenVPS is in {config.data_dir}", file=sys.stderr)
            return 0
        with lock.held(config):
            remove(config) if purge else stop(config)
        told = f"all servers and {config.data_dir} are removed" if purge else "stopped; up brings back what ran"
        print(f"openvps: {told}", file=sys.stderr)
        if purge and config.database_url:
            print("openvps: the tables in your own PostgreSQL stay; drop them before another start", file=sys.stderr)
    except (NotReady, ProgramFailed, IncusFailed) as error:
        print(f"openvps: {error}", file=sys.stderr)
        return 1
    return 0


def stop_up(config: Settings) -> None:
    """End a running `openvps up` of this data folder."""
    if pid := lock.holder(config):
        with farewell.for_down(config):
            end(pid, signal.SIGTERM, within_s=UP_ENDS_S)


def stop(config: Settings) -> None:
    """Stop the servers, and the engine where it is our own; the system's, and lxcfs with it, may serve others too."""
    daemon = incus_daemon.find(config)
    if daemon and not daemon.own:
        restart.stop(daemon.socket, config)
    else:
        incus_daemon.stop(config)


def remove(config: Settings) -> None:
    """Remove servers, images, project, pool, network rules, the data folder, and the caller's context of it.

    Raises NotReady where the folder isn't ours.
    """
    data = config.data_dir.resolve()
    if not lock.file(config).exists():
        raise NotReady(f"{data} isn't a data folder of OpenVPS; nothing was removed")
    daemon = incus_daemon.find(config)
    if daemon is None and (config.storage_source or _servers_run(data)):
        daemon = incus_daemon.ensure(config)
    if daemon:
        incus_project.remove(daemon.socket, config)
    boot.remove(config)
    pool_unit.remove(config)
    hostnet.remove(config, config.project)
    if daemon is None or daemon.own:
        incus_daemon.stop(config)
    leftovers.unmount_below(data)
    leftovers.detach_loops_below(data)
    leftovers.remove_cgroups(config.project)
    if left := leftovers.mounts_below(data, Path("/proc/self/mountinfo").read_text()):
        raise NotReady(f"still mounted, so {data} stays: {', '.join(left)}")
    shutil.rmtree(data)
    operator_context.forget(config)


def _servers_run(data: Path) -> bool:
    """Whether servers of our own daemon run without it."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cmdline").read_bytes().startswith(f"[lxc monitor] {data}/".encode()):
                return True
    return False


def _confirmed(config: Settings) -> bool:
    if not os.isatty(0):
        print("openvps: --purge removes every server and all data; add --yes", file=sys.stderr)
        return False
    return input(f"Remove every server and everything in {config.data_dir}? Type yes: ").strip() == "yes"
