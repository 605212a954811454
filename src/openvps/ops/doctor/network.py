"""How servers reach the world, and the API's port."""

import socket
from pathlib import Path

from openvps.core.settings import Settings
from openvps.ops import hostnet, lock
from openvps.ops.doctor.finding import Finding
from openvps.ops.run import ProgramFailed, run

UP = "`openvps up` does it"


def mode(config: Settings) -> Finding:
    """Say which way of giving addresses is set, and whether its interface is there."""
    seen = f"{config.network_mode}, {config.ipv4_pool}"
    parent = config.network_parent
    if config.network_mode == "routed" and parent and not Path("/sys/class/net", parent).exists():
        return Finding(
            "network", "fail", f"{seen}: no interface {parent}", "set OPENVPS_NETWORK_PARENT to the uplink"
        )
    if config.network_mode == "routed" and parent is None:
        return Finding("network", "ok", seen, "the blocks must be routed to this host (else OPENVPS_NETWORK_PARENT)")
    return Finding("network", "ok", seen)


def forwarding(config: Settings) -> Finding:
    """Look whether the kernel is a router."""
    wanted = hostnet.sysctls(config, [])
    off = [
        name.replace("/", ".")
        for name, value in wanted.items()
        if "/neigh/" not in name and Path("/proc/sys", name).exists() and _sysctl(name) != value
    ]
    if off:
        return Finding("forwarding", "warn", f"off: {', '.join(off)}", UP)
    return Finding("forwarding", "ok", "IPv4 and IPv6")


def firewall(config: Settings) -> Finding:
    """Look for our table, and for another's chain that drops what is forwarded."""
    try:
        rules = run(["nft", "list", "ruleset"])
    except ProgramFailed as error:
        return Finding(
            "firewall", "fail", f"nftables doesn't work: {error.stderr.strip()[-200:]}", "install nftables"
        )
    table = hostnet.table_name(config)
    if f"table inet {table} " not in rules:
        return Finding("firewall", "warn", f"no table {table}", UP)
    if any("hook forward" in line and "policy drop" in line for line in rules.splitlines()):
        advice = f"let {config.nic_prefix}* pass there (with Docker: iptables -I DOCKER-USER -i {config.nic_prefix}+ "
        return Finding("firewall", "warn", "another table drops what is forwarded", f"{advice}-j ACCEPT, and -o)")
    return Finding("firewall", "ok", f"table {table}")


def resolvers(config: Settings) -> Finding:
    """Look for resolvers that servers can reach."""
    found = hostnet.nameservers(config)
    if not found:
        return Finding("resolvers", "fail", "none but on this host's loopback", "set OPENVPS_NAMESERVERS")
    return Finding("resolvers", "ok", ", ".join(found))


def port(config: Settings) -> Finding:
    """Try to listen where the API does."""
    if lock.holder(config):
        return Finding("port", "ok", f"{config.listen}: OpenVPS runs")
    kind = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(kind, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
        except OSError as error:
            return Finding("port", "fail", f"{config.listen}: {error.strerror}", "end who listens, or OPENVPS_LISTEN")
    return Finding("port", "ok", f"{config.listen} is free")


def _sysctl(name: str) -> str:
    return Path("/proc/sys", name).read_text().strip()
