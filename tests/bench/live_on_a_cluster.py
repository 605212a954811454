"""The live tests of servers, on a cell that is a cluster of three: customers get there what they get elsewhere.

The lab's own cell is paused, so that each server is made in the cluster, which is in the same location. Its members
are hosts with a network of their own (`tests/cluster.py`), behind one bridge with this machine: routed, they answer
there for the addresses of their servers (`--nic-parent`). Each has what `openvps host prepare` sets of kernel and
firewall, and what it has a unit do beside Incus. As all are on one kernel, two members give the same uids, unlike two
machines.
"""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from power_cut import environment, program
from tables import say

import lab as whole
from cluster import BRIDGE, NUMBER, POOL, Cluster, a_cluster, ip
from incusd import Incusd
from openvps.core.settings import Settings
from openvps.ops import firewall, hostnet

PROJECT = f"openvps-liv{NUMBER}"
NIC_PREFIX = "liv"
PARENT = "eth0"
NETWORKS = IPv4Network(f"10.101.{NUMBER}.0/24"), IPv6Network(f"fd9a:{NUMBER}::/64")
BETWEEN = IPv6Network(f"fd98:{NUMBER}::/64")  # of members and this machine; for IPv4 the cluster has one
HERE = BETWEEN[1]
TESTS = (
    "test_life_of_a_server.py",
    "test_resize_and_actions.py",
    "test_taken_back.py",
    "test_backed_up.py",
    "test_metered.py",
    "test_neighbours.py",
    "test_credit.py",
    "test_terminal.py",
    "test_command_line.py",
    "test_python_client.py",
    "test_published_samples.py",
    "test_vps_mcp.py",
    "test_webhooks_sent.py",
    "test_console_in_a_browser.py",
)
NOT_HERE = "uid_maps or another_location"  # the members share a kernel; the other location is the lab's own engine


def run(lab: whole.Lab) -> bool:
    """Found the cluster, add it, and run the tests; returns whether all passed."""
    with a_cluster(driver="btrfs") as cluster, contextlib.ExitStack() as units:
        ip("address", "add", f"{HERE}/{BETWEEN.prefixlen}", "dev", BRIDGE, "nodad")
        for network in NETWORKS:
            ip("route", "add", str(network), "dev", BRIDGE)
        for number, member in enumerate(cluster.members.values()):
            _prepare(member, f"{BETWEEN[11 + number]}/{BETWEEN.prefixlen}")
            units.enter_context(member.counted(POOL))
        _add(cluster)
        state = Path(os.environ[whole.STATE])
        elsewhere = replace(lab, socket=str(cluster.members["one"].socket), project=PROJECT, pool=POOL)
        (state / "lab.json").write_text(json.dumps(asdict(elsewhere)))
        try:
            words = ["-q", "-p", "no:cacheprovider", "-n2", "-k", f"not ({NOT_HERE})"]
            tests = [f"tests/live/{name}" for name in TESTS]
            kept = {**os.environ, "OPENVPS_TEST_KEEP_LAB": "1"}  # the bench ends it
            done = subprocess.run([sys.executable, "-m", "pytest", *words, *tests], env=kept, check=False)
            say(f"servers were on: {sorted(set(cluster.places(PROJECT).values())) or 'all are deleted'}")
        finally:
            (state / "lab.json").write_text(json.dumps(asdict(lab)))
    return done.returncode == 0


def _prepare(member: Incusd, address: str) -> None:
    """Set in a member's network what `openvps host prepare` sets on a host, and give it IPv6 to this machine."""
    settings = Settings(
        project=PROJECT,
        nic_prefix=NIC_PREFIX,
        network_mode="routed",
        network_parent=PARENT,
        ipv4_pool=NETWORKS[0],
        ipv6_pool=NETWORKS[1],
    )
    for name, value in hostnet.sysctls(settings, [PARENT]).items():
        subprocess.run(member.inside("sysctl", "-qew", f"{name.replace('/', '.')}={value}"), check=True)
    rules = firewall.ruleset(hostnet.rules(settings, "cluster"))
    subprocess.run(member.inside("nft", "-f", "-"), input=rules.encode(), check=True)
    subprocess.run(member.inside("ip", "address", "add", address, "dev", PARENT, "nodad"), check=True)
    subprocess.run(member.inside("ip", "-6", "route", "add", "default", "via", str(HERE)), check=True)


def _add(cluster: Cluster) -> None:
    """Have servers made in the cluster only."""
    token = cluster.token(PROJECT)
    _openvps(
        *("cell", "add", ",".join(cluster.urls), "--trust-token", token, "--name", "cluster"),
        *("--location", "us-west", "--network", ",".join(map(str, NETWORKS)), "--project", PROJECT, "--pool", POOL),
        *("--nic-prefix", NIC_PREFIX, "--nic-parent", PARENT),
    )
    own = json.loads(_openvps("cell", "list", "-o", "json"))[0]["name"]
    _openvps("cell", "pause", own, "--reason", "servers go to the cluster")


def _openvps(*words: str) -> str:
    done = subprocess.run([program(), *words], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"openvps {words[0]} {words[1]}: {done.stderr}"
    return done.stdout
