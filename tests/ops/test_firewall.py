"""The firewall's rules as text, and what the host's files and settings say."""

import re
from ipaddress import IPv4Network, ip_address, ip_network
from pathlib import Path

import pytest

from openvps.core.settings import Settings
from openvps.ops import hostnet
from openvps.ops.firewall import PRIVATE_V4, PRIVATE_V6, Rules, ruleset


def a_ruleset(**changes: object) -> str:
    base: dict[str, object] = {
        "table": "openvps_test",
        "nic_prefix": "vps",
        "mode": "nat",
        "ipv4_pool": IPv4Network("10.77.0.0/22"),
        "resolvers": ["10.0.0.53", "2620:fe::fe"],
    }
    return ruleset(Rules(**(base | changes)))  # pyright: ignore[reportArgumentType] -- values by name


def chain(text: str, name: str) -> list[str]:
    found = re.search(rf"chain {name} {{\n(.*?)\n\t}}", text, re.DOTALL)
    assert found, f"no chain {name}"
    return [line.strip() for line in found[1].splitlines()]


def test_the_table_is_made_anew_in_one_script() -> None:
    lines = a_ruleset().splitlines()
    assert lines[:3] == ["table inet openvps_test", "delete table inet openvps_test", "table inet openvps_test {"]
    assert lines[-1] == "}"


def test_every_chain_only_drops_what_concerns_servers() -> None:
    text = a_ruleset()
    assert "policy drop" not in text
    for name in ("spoofing", "forwarded", "leaving"):
        assert all('"vps*"' in rule for rule in chain(text, name)[1:])
    assert chain(text, "to_host")[1] == 'iifname != "vps*" accept'


def test_what_servers_say_to_the_host_ends_in_a_drop() -> None:
    assert chain(a_ruleset(), "to_host")[-1] == "drop"


UNROUTED = """169.254.169.254 10.1.2.3 100.64.0.1 127.0.0.1 172.31.255.255 192.168.0.1 0.0.0.0 224.0.0.1 240.1.1.1
    255.255.255.255 :: ::1 fe80::1 fd00::1 ff02::1 ::ffff:10.0.0.1 64:ff9b::a00:1"""


@pytest.mark.parametrize("address", UNROUTED.split())
def test_every_address_that_the_internet_does_not_route_is_dropped(address: str) -> None:
    dropped = [rule for rule in chain(a_ruleset(), "from_servers") if rule.endswith("} drop")]
    networks = [ip_network(network) for rule in dropped for network in re.findall(r"[0-9a-f:.]+/\d+", rule)]
    assert any(
        ip_address(address) in network for network in networks if network.version == ip_address(address).version
    )


@pytest.mark.parametrize("address", ["1.1.1.1", "9.9.9.9", "203.0.113.7", "2620:fe::fe", "2001:db8::1"])
def test_the_internets_addresses_are_not(address: str) -> None:
    assert not any(
        ip_address(address) in network
        for network in map(ip_network, (*PRIVATE_V4, *PRIVATE_V6))
        if network.version == ip_address(address).version
    )


def test_resolvers_and_allowed_ranges_pass_before_the_drop_and_overlaps_are_merged() -> None:
    rules = chain(a_ruleset(allowed=["10.1.0.0/16", "10.1.2.0/24", "fd99::/64"]), "from_servers")
    assert "ip daddr { 10.1.0.0/16 } return" in rules
    assert "ip6 daddr { fd99::/64 } return" in rules
    assert "ip daddr { 10.0.0.53/32 } meta l4proto { tcp, udp } th dport 53 return" in rules
    assert [rule.rpartition(" ")[2] for rule in rules[-2:]] == ["drop", "drop"]


def test_smtp_is_dropped_by_setting() -> None:
    assert "tcp dport 25 drop" in chain(a_ruleset(), "from_servers")
    assert "dport 25 " not in a_ruleset(block_smtp=False)


def test_nat_mode_hides_servers_and_routed_mode_shows_them() -> None:
    assert chain(a_ruleset(), "to_servers")[-1] == "drop"
    assert "masquerade" in a_ruleset()
    routed = a_ruleset(mode="routed", ipv4_pool=IPv4Network("203.0.113.0/28"))
    assert chain(routed, "to_servers") == ["return"]
    assert "masquerade" not in routed


def test_routed_mode_lets_the_host_answer_for_servers_on_the_parent() -> None:
    settings = Settings(
        network_mode="routed", ipv4_pool=IPv4Network("203.0.113.0/28"), network_parent="eth1", project="a-b"
    )
    wanted = hostnet.sysctls(settings, ["eth0"])
    assert wanted["net/ipv6/conf/eth1/proxy_ndp"] == wanted["net/ipv4/conf/eth1/forwarding"] == "1"
    assert wanted["net/ipv6/conf/eth0/accept_ra"] == "2"
    assert "net/ipv6/conf/eth1/proxy_ndp" not in hostnet.sysctls(Settings(), ["eth0"])
    assert hostnet.table_name(settings) == "openvps_a_b"


def test_a_stub_resolver_is_followed_to_its_upstream(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text("# stub\nnameserver 127.0.0.53\noptions edns0\n")
    assert hostnet.nameservers(Settings(), root=tmp_path) == []
    upstream = tmp_path / "run/systemd/resolve/resolv.conf"
    upstream.parent.mkdir(parents=True)
    upstream.write_text("nameserver fe80::1%eth0\nnameserver 9.9.9.9\nnameserver 2620:fe::fe\n")
    assert hostnet.nameservers(Settings(), root=tmp_path) == ["9.9.9.9", "2620:fe::fe"]
    assert hostnet.nameservers(Settings(nameservers=["1.1.1.1"]), root=tmp_path) == ["1.1.1.1"]
