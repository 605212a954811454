"""What servers may reach, and who may reach them: one nftables table an installation, written by a pure function.

Every chain only drops: what we let pass other tables may still drop, and what they accept we still drop. So it works
beside Docker, firewalld and the operator's own rules. What no table can undo is another table's drop: where servers
have no way out, look there first (`nft list ruleset`; Docker's forward policy is the usual one).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Literal

Network = IPv4Network | IPv6Network

# What the internet doesn't route (RFC 6890 and its registries): "this" network, private, shared by carriers,
# loopback, link-local with the clouds' metadata services, protocol assignments, benchmarks, multicast, reserved.
PRIVATE_V4 = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),  # with broadcast
)
# Unspecified and loopback, IPv4 in other clothes (mapped, NAT64), link-local, site-local, private, multicast.
PRIVATE_V6 = (
    *("::/127", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"),
    *("fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
)


@dataclass(frozen=True)
class Rules:
    """What the table is made of; `resolvers` are addresses, `allowed` private ranges that servers may reach."""

    table: str
    nic_prefix: str
    mode: Literal["nat", "routed"]
    ipv4_pool: IPv4Network
    resolvers: Sequence[str] = ()
    allowed: Sequence[str] = ()
    block_smtp: bool = True
    comment: str = ""


def ruleset(rules: Rules) -> str:
    """Return the script for `nft -f -` that makes the table anew, all at once."""
    nics = f'"{rules.nic_prefix}*"'
    chains = (
        _chain("spoofing", "filter hook prerouting priority raw", _spoofing(nics)),
        _chain("to_host", "filter hook input priority filter - 5", _to_host(nics, rules)),
        _chain("forwarded", "filter hook forward priority filter - 5", _forwarded(nics)),
        _chain("from_servers", None, _from_servers(rules)),
        _chain("to_servers", None, _to_servers(nics, rules)),
        *([_chain("leaving", "nat hook postrouting priority srcnat", _leaving(nics, rules))] * (rules.mode == "nat")),
    )
    note = f'\tcomment "{rules.comment}"\n' if rules.comment else ""
    return f"{removal(rules.table)}table inet {rules.table} {{\n{note}{''.join(chains)}}}\n"


def removal(table: str) -> str:
    """Return the script that removes the table, and is content when there is none."""
    return f"table inet {table}\ndelete table inet {table}\n"


def _chain(name: str, hook: str | None, lines: Iterable[str]) -> str:
    head = [f"type {hook}; policy accept;"] if hook else []
    return f"\tchain {name} {{\n" + "".join(f"\t\t{line}\n" for line in [*head, *lines]) + "\t}\n"


def _spoofing(nics: str) -> list[str]:
    """A server speaks from the addresses that are routed to its own interface, no others."""
    return [f"iifname {nics} fib saddr . iif oif missing drop"]


def _to_host(nics: str, rules: Rules) -> list[str]:
    """Nothing but neighbour discovery, answers, and DNS where a resolver is an address of the host itself."""
    return [
        f"iifname != {nics} accept",
        "icmp type redirect drop",  # conntrack calls a redirect about a connection of ours `related`
        "icmpv6 type { nd-redirect, nd-router-advert, nd-router-solicit } drop",
        "ct state established,related accept",
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
        *_dns(rules.resolvers),
        "drop",
    ]


def _forwarded(nics: str) -> list[str]:
    return [f"iifname {nics} jump from_servers", f"oifname {nics} jump to_servers"]


def _from_servers(rules: Rules) -> list[str]:
    """The internet and the resolvers, and of private networks those that the operator names."""
    return [
        "ct state established,related return",
        *(["tcp dport 25 drop"] * rules.block_smtp),
        *(line.replace(" accept", " return") for line in _dns(rules.resolvers)),
        *_match("daddr", rules.allowed, "return"),
        *_match("daddr", (*PRIVATE_V4, *PRIVATE_V6), "drop"),
    ]


def _to_servers(nics: str, rules: Rules) -> list[str]:
    """In nat mode only answers, other servers, and what the operator forwards by a DNAT rule; routed: everybody."""
    if rules.mode == "routed":
        return ["return"]
    return ["ct state established,related return", f"iifname {nics} return", "ct status dnat return", "drop"]


def _leaving(nics: str, rules: Rules) -> list[str]:
    """Private sources take the host's address on their way out; a public IPv6 block needs no such thing."""
    out = f"iifname {nics} oifname != {nics}"
    return [f"{out} ip saddr {rules.ipv4_pool} masquerade", f"{out} ip6 saddr fc00::/7 masquerade"]


def _dns(resolvers: Sequence[str]) -> list[str]:
    return [f"{line} meta l4proto {{ tcp, udp }} th dport 53 accept" for line in _match("daddr", resolvers)]


def _match(field: str, networks: Sequence[str], verdict: str = "") -> list[str]:
    """Return a rule for each family there is among `networks` (also single addresses); nft refuses overlaps."""
    parsed = [ip_network(one) for one in networks]
    v4 = collapse_addresses(one for one in parsed if isinstance(one, IPv4Network))
    v6 = collapse_addresses(one for one in parsed if isinstance(one, IPv6Network))
    members = {"ip": ", ".join(map(str, v4)), "ip6": ", ".join(map(str, v6))}
    return [f"{family} {field} {{ {texts} }} {verdict}".rstrip() for family, texts in members.items() if texts]
