"""Routed mode: public addresses of the servers' own, no NAT, and the same walls around the host."""

import subprocess
import sys
from pathlib import Path

import pytest
from town import Town

from openvps.ops import hostnet
from openvps.ops.run import run

pytestmark = pytest.mark.live

HERE = Path(__file__).parent


def test_the_internet_reaches_a_server_at_its_own_address(routed_town: Town) -> None:
    for address in (routed_town.attacker.ipv4, routed_town.attacker.ipv6):
        assert routed_town.world.ask("tcp", address, "22").startswith("SSH-2.0-")


def test_a_server_leaves_with_its_own_address_by_the_blocks_gateway(routed_town: Town) -> None:
    own = (routed_town.attacker.ipv4, routed_town.attacker.ipv6)
    for there, here in zip(routed_town.site.outside, own, strict=True):
        assert routed_town.attacker.tries("ask", "tcp", there, "80") == here
    for there, here in zip(routed_town.site.gateway, own, strict=True):
        assert routed_town.attacker.tries("ask", "tcp", there, "80") == here


def test_servers_reach_each_other_at_their_public_addresses(routed_town: Town) -> None:
    for address in (routed_town.neighbour.ipv4, routed_town.neighbour.ipv6):
        assert routed_town.attacker.tries("ask", "tcp", address, "22").startswith("SSH-2.0-")


def test_neither_metadata_nor_private_addresses_are_reached(routed_town: Town) -> None:
    for bait in (routed_town.site.metadata, routed_town.site.private):
        assert run([sys.executable, str(HERE / "attacking.py"), "ask", "tcp", bait, "80"]).strip()[:7] != "nothing"
        assert routed_town.attacker.tries("ask", "tcp", bait, "80").startswith("nothing: ")


def test_the_resolver_answers_though_it_is_private(routed_town: Town) -> None:
    assert routed_town.attacker.tries("ask", "tcp", routed_town.site.resolver, "53") == routed_town.attacker.ipv4


def test_a_neighbours_address_is_not_taken_over(routed_town: Town) -> None:
    attacker, neighbour = routed_town.attacker, routed_town.neighbour
    run(attacker.ssh("ip", "address", "add", f"{neighbour.ipv4}/32", "dev", "eth0"))
    attacker.tries("shout", "mine", neighbour.ipv4)
    said = attacker.tries("ask", "tcp", routed_town.site.outside[0], "80", neighbour.ipv4)
    run(attacker.ssh("ip", "address", "del", f"{neighbour.ipv4}/32", "dev", "eth0"))
    assert said.startswith("nothing: ")
    assert routed_town.neighbour.tries("ask", "tcp", routed_town.site.outside[0], "80") == neighbour.ipv4


def test_what_a_server_shouts_the_uplink_never_hears(routed_town: Town) -> None:
    site = routed_town.site
    argv = ["ip", "netns", "exec", site.name, sys.executable, str(HERE / "attacking.py"), "listen", "2", "shouting"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as world:
        assert world.stdout is not None
        assert world.stdout.readline() == "listening\n"
        routed_town.attacker.tries("shout", "shouting", site.gateway[0])
        assert world.stdout.read().strip() == "0"


def test_ways_by_the_gateway_are_made_once_and_go_with_remove(routed_town: Town) -> None:
    settings = routed_town.settings
    hostnet.apply(settings, "again")
    rules = run(["ip", "rule"]) + run(["ip", "-6", "rule"])
    assert rules.count(f"from {settings.ipv4_pool}") == rules.count(f"from {settings.ipv6_pool}") == 2
    hostnet.remove(settings, "again")
    hostnet.remove(settings, "again")
    left = run(["ip", "rule"]) + run(["ip", "-6", "rule"]) + run(["ip", "route"]) + run(["ip", "-6", "route"])
    assert f"from {settings.ipv4_pool}" not in left
    assert f"from {settings.ipv6_pool}" not in left
    assert f"{routed_town.site.gateway[0]} dev" not in left
    hostnet.apply(settings, routed_town.site.name)
