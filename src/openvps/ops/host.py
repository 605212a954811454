"""`openvps host prepare`: what `up` does as root on its own machine, on a host of another cell.

The worker is elsewhere and reaches only the engine. So network, firewall, kernel limits and pool are made here, by
the same steps; after a reboot they stand again by the system's units, or by running this once more.
"""

import shlex
from ipaddress import IPv6Network
from pathlib import Path

from openvps.core import settings
from openvps.core.settings import Settings
from openvps.engine.incus.trust import member_url
from openvps.engine.protocol import EngineError
from openvps.ops import btrfs_quota, hostnet, lock, machine, prepare
from openvps.ops.accounts import talk
from openvps.ops.incus_daemon import Daemon
from openvps.ops.incus_rest import Incus, IncusFailed
from openvps.ops.machine import NotReady
from openvps.ops.processes import PATH
from openvps.ops.run import ProgramFailed, run
from openvps.ops.seed import private_v6
from openvps.ops.steps import Steps


def main(address: str, name: str) -> int:
    """Prepare this host, and print the command that adds it where the worker runs; returns the exit code."""
    config = settings.load()
    steps = Steps()
    try:
        machine.require_root()
        member = member_url(address)
        with lock.held(config):
            prepare.kernel(config, steps)
            prepare.network(config, steps)
            with steps.step("engine") as notes:
                daemon, pool = prepare.engine(config, notes)
                if (mount := prepare.unwatched(config, daemon, pool)) and btrfs_quota.inconsistent(mount):
                    btrfs_quota.count_again(mount)
                notes.append(f"listens at {_listen(daemon, member)}")
            command = _command(config, member, name, pool, _token(daemon, name))
    except ValueError as error:
        talk(f"openvps: {error}")
        return 2
    except (NotReady, ProgramFailed, IncusFailed, EngineError) as error:
        talk(f"openvps: {error}")
        return 1
    steps.say("ready; on the machine where OpenVPS runs, within the token's life and once:")
    print(shlex.join(command))  # noqa: T201 -- the command's result
    return 0


def recount(mount: Path) -> int:
    """Have btrfs count anew what servers hold of a pool; returns the exit code."""
    try:
        machine.require_root()
        btrfs_quota.count_again(mount)
    except (NotReady, ProgramFailed) as error:
        talk(f"openvps: {error}")
        return 1
    talk(f"openvps: {mount}: counted anew")
    return 0


def _listen(daemon: Daemon, member: str) -> str:
    """Have the daemon take HTTPS, where it doesn't yet; returns where it does."""
    with Incus(daemon.socket) as incus:
        if there := incus.get("/1.0")["config"].get("core.https_address"):
            return str(there)
        address = member.removeprefix("https://")
        incus.do("PATCH", "/1.0", {"config": {"core.https_address": address}})
        return address


def _token(daemon: Daemon, name: str) -> str:
    """Return a trust token: a secret for one use, with the certificate that the daemon shows."""
    argv = ["incus", "config", "trust", "add", f"openvps-{name}", "--quiet"]
    return run(argv, env={"INCUS_DIR": str(daemon.socket.parent), "PATH": PATH}).strip()


def _command(config: Settings, member: str, name: str, pool: str, token: str) -> list[str]:
    """Return what adds this host as a cell; of a cluster, the operator names the other members too."""
    networks = [str(config.ipv4_pool), *_v6(config)]
    words = ["openvps", "cell", "add", member, "--trust-token", token, "--name", name]
    words += ["--location", config.location_code, "--network", ",".join(networks)]
    words += ["--location-name", config.location_name]
    words += ["--country", config.country_name, "--country-code", config.country_code]
    words += ["--project", config.project, "--pool", pool, "--nic-prefix", config.nic_prefix]
    if resolvers := hostnet.nameservers(config):
        words += ["--nameservers", ",".join(resolvers)]
    if config.network_mode == "routed" and config.network_parent:
        words += ["--nic-parent", config.network_parent]
    return words


def _v6(config: Settings) -> list[str]:
    networks: list[IPv6Network] = [config.ipv6_pool] if config.ipv6_pool else []
    if not networks and config.network_mode == "nat":
        networks.append(private_v6())
    return [str(one) for one in networks]
