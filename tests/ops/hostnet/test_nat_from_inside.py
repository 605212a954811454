"""What a server's root can reach and do in nat mode, each tried from inside the server."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from ipaddress import ip_address
from pathlib import Path

import pytest
from town import Town

from openvps.ops import hostnet
from openvps.ops.run import run

pytestmark = pytest.mark.live

HERE = Path(__file__).parent
HOST_PORTS = ("tcp:8098", "udp:8098")


@pytest.fixture(scope="module")
def host_services(nat_town: Town) -> Town:
    nat_town.world.answer([], *HOST_PORTS)
    return nat_town


@contextlib.contextmanager
def changed(town: Town, **settings: object) -> Generator[None]:
    """Have the rules of other settings for a while."""
    hostnet.apply(town.site.settings("nat", **settings), town.site.name)
    try:
        yield
    finally:
        hostnet.apply(town.settings, town.site.name)


def host_addresses(town: Town) -> list[str]:
    """Return every address of the host, of the link-local ones those that the attacker's link has."""
    everywhere = [run(["ip", "-brief", "address", "show", "up", "scope", scope]) for scope in ("global", "host")]
    here = run(["ip", "-brief", "address", "show", "dev", f"{town.settings.nic_prefix}1"])
    words = " ".join([*everywhere, here]).split()
    found = {word.partition("/")[0] for word in words if "/" in word}
    return sorted(one for one in found if not ip_address(one).is_loopback)


def from_host(*arguments: str) -> str:
    return run([sys.executable, str(HERE / "attacking.py"), "ask", *arguments]).strip()


def test_no_service_of_the_host_answers_a_server(host_services: Town) -> None:
    assert from_host("tcp", host_services.site.host[0], "8098")  # they are there
    for address in host_addresses(host_services):
        zone = "%eth0" if ip_address(address).is_link_local and ":" in address else ""
        for protocol in ("tcp", "udp"):
            said = host_services.attacker.tries("ask", protocol, f"{address}{zone}", "8098")
            assert said.startswith("nothing: "), f"{protocol} {address} answered {said}"


def test_the_host_reaches_its_servers(nat_town: Town) -> None:
    assert nat_town.attacker.tries("ask", "udp", nat_town.site.resolver, "53")
    assert nat_town.neighbour.tries("ask", "udp", nat_town.site.resolver, "53")


def test_no_private_address_is_reached_but_the_resolver(nat_town: Town) -> None:
    site, attacker = nat_town.site, nat_town.attacker
    for protocol in ("tcp", "udp"):
        assert ip_address(attacker.tries("ask", protocol, site.resolver, "53")).is_private
    for bait in (site.private, site.metadata, site.resolver):
        assert ip_address(from_host("tcp", bait, "80"))  # it is there, and the host reaches it
        assert attacker.tries("ask", "tcp", bait, "80").startswith("nothing: ")


def test_a_private_range_that_the_operator_allows_is_reached(nat_town: Town) -> None:
    with changed(nat_town, allowed_private=[f"{nat_town.site.private}/32"]):
        assert ip_address(nat_town.attacker.tries("ask", "tcp", nat_town.site.private, "80"))
    assert nat_town.attacker.tries("ask", "tcp", nat_town.site.private, "80").startswith("nothing: ")


def test_a_neighbour_is_not_reached(nat_town: Town) -> None:
    for address in (nat_town.neighbour.ipv4, nat_town.neighbour.ipv6):
        assert nat_town.attacker.tries("ask", "tcp", address, "22").startswith("nothing: ")


def test_the_internet_is_reached_and_sees_the_host(nat_town: Town) -> None:
    for address, host in zip(nat_town.site.outside, nat_town.site.host, strict=True):
        assert nat_town.attacker.tries("ask", "tcp", address, "80") == host
        assert not subprocess.run(
            nat_town.attacker.ssh("ping", "-c1", "-W2", address), capture_output=True, check=False
        ).returncode


def test_mail_is_not_sent_unless_the_operator_lets_it(nat_town: Town) -> None:
    for address in nat_town.site.outside:
        assert nat_town.attacker.tries("ask", "tcp", address, "25").startswith("nothing: ")
    with changed(nat_town, block_smtp=False):
        assert ip_address(nat_town.attacker.tries("ask", "tcp", nat_town.site.outside[0], "25"))


def test_the_internet_does_not_reach_a_server_behind_nat(nat_town: Town) -> None:
    inside = ["ip", "-n", nat_town.site.name, "route"]
    run([*inside, "replace", f"{nat_town.attacker.ipv4}/32", "via", nat_town.site.host[0]])
    assert nat_town.world.ask("tcp", nat_town.attacker.ipv4, "22").startswith("nothing: ")
    run([*inside, "del", f"{nat_town.attacker.ipv4}/32"])


def test_a_foreign_source_address_leaves_no_server(nat_town: Town) -> None:
    site, attacker = nat_town.site, nat_town.attacker
    capture = ["ip", "netns", "exec", site.name, sys.executable, str(HERE / "attacking.py"), "listen", "2", "forged"]
    with subprocess.Popen(capture, stdout=subprocess.PIPE, text=True) as world:
        assert world.stdout is not None
        assert world.stdout.readline() == "listening\n"
        for source in (nat_town.neighbour.ipv4, "198.51.100.200", "10.9.9.9", "127.0.0.1"):
            attacker.tries("forge", site.outside[0], source)
        assert world.stdout.read().strip() == "0"
    with subprocess.Popen(capture, stdout=subprocess.PIPE, text=True) as world:
        assert world.stdout is not None
        assert world.stdout.readline() == "listening\n"
        attacker.tries("forge", site.outside[0], attacker.ipv4)  # its own passes: the test sees what there is
        assert int(world.stdout.read()) > 0


def test_a_neighbours_address_put_on_the_interface_gives_nothing(nat_town: Town) -> None:
    attacker, stolen = nat_town.attacker, nat_town.neighbour.ipv4
    run(attacker.ssh("ip", "address", "add", f"{stolen}/32", "dev", "eth0"))
    said = attacker.tries("ask", "tcp", nat_town.site.outside[0], "80", stolen)
    run(attacker.ssh("ip", "address", "del", f"{stolen}/32", "dev", "eth0"))
    assert said.startswith("nothing: ")
    assert ip_address(nat_town.neighbour.tries("ask", "tcp", nat_town.site.outside[0], "80"))


def test_what_a_server_shouts_its_neighbour_never_hears(nat_town: Town) -> None:
    attacker, neighbour = nat_town.attacker, nat_town.neighbour
    with neighbour.listening(4, "shouting") as ears:
        assert ears.stdout is not None
        attacker.tries("shout", "shouting", neighbour.ipv4)
        assert ears.stdout.read().strip() == "0"
    with neighbour.listening(4, "whisper") as ears:
        assert ears.stdout is not None
        from_host_to(neighbour.ipv4, b"whisper")
        assert int(ears.stdout.read()) > 0  # it can hear
    assert attacker_is_unheard_by_the_host(nat_town)


def from_host_to(address: str, payload: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.sendto(payload, (address, 9))


def attacker_is_unheard_by_the_host(town: Town) -> bool:
    """Whether router advertisements and ARP for others changed nothing on the host."""
    time.sleep(0.1)
    routes = run(["ip", "-6", "route", "show", "dev", f"{town.settings.nic_prefix}1"])
    neighbours = run(["ip", "neigh", "show", "dev", f"{town.settings.nic_prefix}2"])
    return "default" not in routes and "ff:ff:ff:ff:ff:ff" not in neighbours


def test_what_was_made_for_servers_goes_with_remove_and_comes_back(nat_town: Town) -> None:
    table = f"table inet {hostnet.table_name(nat_town.settings)}"
    hostnet.apply(nat_town.settings, "again")
    assert run(["nft", "list", "tables"]).count(table) == 1
    hostnet.remove(nat_town.settings, "again")
    hostnet.remove(nat_town.settings, "again")
    assert table not in run(["nft", "list", "tables"])
    assert "unreachable" not in run(["ip", "route", "show", str(nat_town.settings.ipv4_pool)])
    hostnet.apply(nat_town.settings, nat_town.site.name)
