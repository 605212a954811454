"""The host as the servers' router: forwarding, the firewall's table, and routes of the pools.

Each server has a routed interface of its own, so there is no bridge to listen on: what servers say to each other or
to the world passes the host's routing, and the table of `firewall` stands there. Everything here may be repeated, and
`remove` takes it away, but for kernel settings that others on the machine may have come to need.

A pool gets a route of last resort, `unreachable`: what is meant for a server that is down must not leave by the
host's default route, where somebody else might answer in its place (seen). Not so on a parent's network: its
neighbours and gateway may have addresses of the same block.
"""

import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from openvps.core.settings import Network, Settings
from openvps.ops.firewall import Rules, removal, ruleset
from openvps.ops.machine import NotReady
from openvps.ops.run import ProgramFailed, run

_SYSCTL = Path("/proc/sys")
_RULE_PRIORITY = 15000  # before the main table's 32766
_TABLES = range(20000, 30000)
_LAST_RESORT = "4278198272"  # a metric behind every real route's
_OURS = "79"  # the protocol that marks routes in the main table as ours
_NEIGHBOUR_RETRY_MS = 50


@dataclass(frozen=True)
class Route:
    """Where servers of a pool leave by another router than the host does."""

    pool: Network
    gateway: str
    device: str


def apply(settings: Settings, cell_name: str) -> None:
    """Make the machine the servers' router.

    Raises ProgramFailed, and NotReady where a kernel setting can't be written.
    """
    for name, value in sysctls(settings, _uplinks(settings)).items():
        _set(name, value)
    run(["nft", "-f", "-"], stdin=ruleset(rules(settings, cell_name)))
    for pool in _pools(settings):
        if settings.network_parent is None or settings.network_mode == "nat":
            run([*_ip(pool), "route", "replace", "unreachable", str(pool), "metric", _LAST_RESORT])
    for route in _routes(settings):
        _by_gateway(route, table_number(settings))


def remove(settings: Settings, cell_name: str) -> None:  # noqa: ARG001 -- the pair of apply; a table is named by project
    """Take table, routes and rules away; there being none is success."""
    run(["nft", "-f", "-"], stdin=removal(table_name(settings)))
    number = table_number(settings)
    for pool in _pools(settings):
        _forget([*_ip(pool), "route", "del", "unreachable", str(pool), "metric", _LAST_RESORT])
        _forget_rules(pool, number)
        _forget([*_ip(pool), "route", "flush", "table", str(number)])
    for pool, gateway in _gateways(settings):
        _forget([*_ip(pool), "route", "del", gateway, "proto", _OURS])


def nameservers(settings: Settings, *, root: Path = Path("/")) -> list[str]:
    """Return the resolvers for servers: those set, or the host's own as far as servers can reach them.

    A stub on the loopback (systemd-resolved) is followed to its upstream. Empty where there is none.
    """
    if settings.nameservers:
        return settings.nameservers
    for file in ("etc/resolv.conf", "run/systemd/resolve/resolv.conf"):
        try:
            lines = (root / file).read_text().splitlines()
        except OSError:
            continue
        words = (line.split() for line in lines)
        found = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
        if usable := [one for one in found if _reachable(one)]:
            return usable[:3]  # a C library's resolver asks no more (MAXNS)
    return []


def standing(settings: Settings) -> dict[str, str]:
    """Return the router's kernel settings as far as they are now as `apply` wants them."""
    wanted = sysctls(settings, _uplinks(settings))
    files = {name: _SYSCTL / name for name in wanted}
    return {
        name: value
        for name, value in wanted.items()
        if files[name].exists() and files[name].read_text().strip() == value
    }


def rules(settings: Settings, cell_name: str) -> Rules:
    """Return what the settings say about the firewall."""
    return Rules(
        table=table_name(settings),
        nic_prefix=settings.nic_prefix,
        mode=settings.network_mode,
        ipv4_pool=settings.ipv4_pool,
        resolvers=nameservers(settings),
        allowed=settings.allowed_private,
        block_smtp=settings.block_smtp,
        comment=f"OpenVPS: servers of {cell_name}",
    )


def table_name(settings: Settings) -> str:
    """Return the name of our nftables table."""
    return "openvps_" + re.sub(r"\W", "_", settings.project)


def table_number(settings: Settings) -> int:
    """Return the number of our routing table: the same at every start, another in another installation."""
    return _TABLES[zlib.crc32(settings.project.encode()) % len(_TABLES)]


def sysctls(settings: Settings, uplinks: Sequence[str]) -> dict[str, str]:
    """Return the kernel settings of a router, by their path under /proc/sys.

    A host that forwards IPv6 ignores router advertisements, and so may lose its own way out, unless accept_ra is 2.
    """
    wanted = {
        # The first packet to a starting server is often sent before it is there; the kernel would ask for its
        # address again only after a second, which is longer than the whole start (seen).
        "net/ipv4/neigh/default/retrans_time_ms": str(_NEIGHBOUR_RETRY_MS),
        "net/ipv6/neigh/default/retrans_time_ms": str(_NEIGHBOUR_RETRY_MS),
        **{f"net/ipv6/conf/{uplink}/accept_ra": "2" for uplink in uplinks},
        "net/ipv4/ip_forward": "1",
        "net/ipv6/conf/all/forwarding": "1",
    }
    if settings.network_mode == "routed" and (parent := settings.network_parent):
        wanted |= {
            f"net/ipv4/conf/{parent}/forwarding": "1",
            f"net/ipv6/conf/{parent}/forwarding": "1",
            f"net/ipv6/conf/{parent}/proxy_ndp": "1",
            # Answering for another the kernel dawdles up to 0.8 s, in case the other answers itself. Servers can't.
            f"net/ipv4/neigh/{parent}/proxy_delay": "0",
            f"net/ipv6/neigh/{parent}/proxy_delay": "0",
            "net/ipv6/conf/all/proxy_ndp": "1",  # Incus asks for it; answers are given for listed addresses only
        }
    return wanted


def _set(name: str, value: str) -> None:
    """Write a kernel setting unless it is so.

    What only tunes, and IPv6 on a machine without it, may be missing: a host that is a container has no `neigh`.
    """
    file = _SYSCTL / name
    if not file.exists() and name.startswith(("net/ipv6/", "net/ipv4/neigh/")):
        return
    try:
        now = file.read_text().strip()
        if now == value or (name.endswith("/accept_ra") and now == "0"):  # whoever turned them off keeps them off
            return
        file.write_text(value)
    except OSError as error:
        setting = name.replace("/", ".")
        raise NotReady(f"{setting} can't be set to {value}: {error.strerror}; set it where the kernel is") from error


def _uplinks(settings: Settings) -> list[str]:
    """Return the interfaces by which the host itself leaves."""
    found = {route["dev"] for family in ("-4", "-6") for route in _json("ip", family, "route", "show", "default")}
    if settings.network_parent:
        found.add(settings.network_parent)
    return sorted(found)


def _pools(settings: Settings) -> list[Network]:
    return [pool for pool in (settings.ipv4_pool, settings.ipv6_pool) if pool is not None]


def _gateways(settings: Settings) -> list[tuple[Network, str]]:
    """Return the pools that have a router of their own."""
    pairs = ((settings.ipv4_pool, settings.ipv4_gateway), (settings.ipv6_pool, settings.ipv6_gateway))
    routed = settings.network_mode == "routed"
    return [(pool, gateway) for pool, gateway in pairs if routed and pool is not None and gateway is not None]


def _routes(settings: Settings) -> list[Route]:
    """Return the ways out that the settings name; the interface is the parent, or where the gateway is."""
    return [
        Route(pool, gateway, settings.network_parent or _json("ip", "route", "get", gateway)[0]["dev"])
        for pool, gateway in _gateways(settings)
    ]


def _by_gateway(route: Route, number: int) -> None:
    """Send what comes from the pool to its gateway, unless the main table knows better than by its default route.

    The first of the two rules is for servers that speak to each other or to the host's networks. It also keeps the
    firewall's look at where a source is routed from finding the gateway's interface for a server's address.
    """
    ip, table = _ip(route.pool), str(number)
    if _json(*ip, "route", "get", route.gateway)[0]["dev"] != route.device:  # else its questions look forged
        run([*ip, "route", "replace", route.gateway, "dev", route.device, "proto", _OURS])
    way = ["default", "via", route.gateway, "dev", route.device, "onlink"]
    run([*ip, "route", "replace", *way, "table", table])
    _forget_rules(route.pool, number)
    add = [*ip, "rule", "add", "from", str(route.pool), "priority"]
    run([*add, str(_RULE_PRIORITY), "lookup", "main", "suppress_prefixlength", "0"])
    run([*add, str(_RULE_PRIORITY + 1), "lookup", table])


def _forget_rules(pool: Network, number: int) -> None:
    rule = [*_ip(pool), "rule", "del", "from", str(pool), "priority"]
    _forget([*rule, str(_RULE_PRIORITY), "lookup", "main", "suppress_prefixlength", "0"])
    _forget([*rule, str(_RULE_PRIORITY + 1), "lookup", str(number)])


def _forget(argv: Sequence[str]) -> None:
    """Remove something of the routing that may not be there."""
    try:
        run(argv)
    except ProgramFailed as error:
        if not any(gone in error.stderr for gone in ("No such", "does not exist")):
            raise


def _ip(pool: Network) -> list[str]:
    return ["ip", f"-{pool.version}"]


def _json(*argv: str) -> list[dict[str, Any]]:
    return json.loads(run([argv[0], "-j", *argv[1:]]) or "[]")


def _reachable(resolver: str) -> bool:
    """Whether a server can ask it: an address that is neither the host's loopback nor of one link."""
    try:
        address = ip_address(resolver)
    except ValueError:  # with a zone: of one link
        return False
    return not (address.is_loopback or address.is_link_local or address.is_unspecified)
