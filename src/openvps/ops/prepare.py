"""What a machine needs before it can carry servers, whoever directs it: kernel, network, engine, pool.

`openvps up` does it on its own machine, `openvps host prepare` on the hosts of another cell.
"""

from pathlib import Path

from openvps.core.settings import Settings
from openvps.ops import boot, btrfs_quota, hostnet, incus_daemon, incus_project, machine, pool_unit
from openvps.ops.incus_daemon import Daemon
from openvps.ops.machine import NotReady
from openvps.ops.steps import Steps


def kernel(config: Settings, steps: Steps) -> None:
    """Make users and folders, raise the kernel's limits, give root subordinate ids."""
    with steps.step("machine") as notes:
        machine.ensure_users()
        machine.ensure_folders(config)
        notes += [f"not raised: {limit}" for limit in machine.ensure_kernel_limits()]
        if machine.ensure_subids():
            notes.append("gave root subordinate ids in /etc/subuid and /etc/subgid")


def network(config: Settings, steps: Steps) -> None:
    """Make the machine the servers' router; before the engine, who starts servers when it starts."""
    with steps.step("network") as notes:
        try:
            hostnet.apply(config, config.project)
        except OSError as error:
            raise NotReady(f"the network can't be set up: {error}") from error
        notes.append(f"{config.network_mode}, servers get {config.ipv4_pool}")
        if incus_daemon.systemds(config) and boot.ensure(config, config.project):
            notes.append(f"{boot.unit_name(config)} loads the firewall at boot, before Incus")


def engine(config: Settings, notes: list[str]) -> tuple[Daemon, str]:
    """Have a daemon, and in it our project and a pool; returns it and the pool's name."""
    # The operator's own first: where it doesn't answer, nothing is begun.
    named = incus_daemon.ensure(config) if config.incus_socket else None
    notes.extend(incus_daemon.ensure_lxcfs(config))  # before the daemon, which looks for it when it starts
    daemon = named or incus_daemon.ensure(config)
    pool = incus_project.ensure(daemon.socket, config)
    mount = mounted(daemon, pool)
    watched = incus_daemon.systemds(config) and mount.exists() and btrfs_quota.counts(mount)
    if watched and pool_unit.ensure(config, mount):
        notes.append(f"{pool_unit.unit_name(config)} has disks counted anew whenever btrfs loses count")
    notes.append(f"{'our own' if daemon.own else 'the system'} Incus at {daemon.socket}, pool {pool}")
    return daemon, pool


def unwatched(config: Settings, daemon: Daemon, pool: str) -> Path | None:
    """Return where the pool is mounted, if no unit has its disks counted anew."""
    mount = mounted(daemon, pool)
    return mount if mount.exists() and not incus_daemon.systemds(config) else None


def mounted(daemon: Daemon, pool: str) -> Path:
    """Return where a daemon mounts a pool."""
    return daemon.socket.parent / "storage-pools" / pool
