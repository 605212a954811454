"""Three members of an Incus cluster on this machine, each in a network of its own behind one bridge."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from incusd import Incusd

MEMBERS = ("one", "two", "three")
NUMBER = 1 + os.getpid() % 200  # of this process: no two on the machine have the same bridge
POOL = "cluster"
BRIDGE = f"ovclu{NUMBER}"
DISK_GB = 20  # of a pool that is a file of its own, with holes

FIRST = """
config: {{core.https_address: "{address}:8443"}}
storage_pools: [{{name: {pool}, driver: {driver}, config: {{{key}: "{value}"}}}}]
cluster: {{enabled: true, server_name: {name}}}
"""
OTHERS = """
cluster:
  enabled: true
  server_name: {name}
  server_address: {address}:8443
  cluster_token: {token}
  member_config: [{{entity: storage-pool, name: {pool}, key: {key}, value: "{value}"}}]
"""


@dataclass
class Cluster:
    """The members by their names, in the order they joined."""

    folder: Path
    members: dict[str, Incusd]

    @property
    def urls(self) -> list[str]:
        return [f"https://{address(number)}:8443" for number in range(len(self.members))]

    def token(self, name: str) -> str:
        """Return a trust token of the cluster."""
        return self.members["one"].run("config", "trust", "add", name, "--quiet").strip()

    def places(self, project: str) -> dict[str, str]:
        """Return which member each machine is on."""
        listed = self.members["one"].json("list", "--project", project)
        return {one["name"]: one["location"] for one in listed}


def address(number: int) -> str:
    return f"10.98.{NUMBER}.{11 + number}"


def wire(number: int) -> str:
    """Return the name of this end of a member's wire."""
    return f"ovc{NUMBER}m{number}"


@contextlib.contextmanager
def a_cluster(*, driver: Literal["dir", "btrfs"] = "dir") -> Generator[Cluster]:
    """Run a cluster of three with a storage pool until the end of the block; one of btrfs keeps limits of disks."""
    folder = Path(tempfile.mkdtemp(prefix="openvps-cluster-", dir="/var/lib"))
    folder.chmod(0o711)
    cluster = Cluster(folder, {name: Incusd(folder / name, network=True) for name in MEMBERS})
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("address", "add", f"10.98.{NUMBER}.1/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for number, daemon in enumerate(cluster.members.values()):
            daemon.folder.mkdir(mode=0o711)
            daemon.hold()
            _wire(daemon, number)
        _found(cluster, driver)
        yield cluster
    finally:
        for daemon in cluster.members.values():
            daemon.end()
        for link in (BRIDGE, *(wire(number) for number in range(len(MEMBERS)))):
            subprocess.run(["ip", "link", "delete", link], check=False, stderr=subprocess.DEVNULL)  # perhaps gone
        shutil.rmtree(folder)


def _found(cluster: Cluster, driver: str) -> None:
    """Start the daemons and have them join."""
    first = cluster.members["one"]
    for number, (name, daemon) in enumerate(cluster.members.items()):
        daemon.start()
        key, value = ("size", f"{DISK_GB}GiB") if driver == "btrfs" else ("source", "")
        words = {"name": name, "address": address(number), "pool": POOL, "driver": driver, "key": key, "value": value}
        if daemon is first:
            daemon.run("admin", "init", "--preseed", stdin=FIRST.format(**words))
        else:
            token = first.run("cluster", "add", name, "--quiet").strip()
            daemon.run("admin", "init", "--preseed", stdin=OTHERS.format(**words, token=token))


def _wire(daemon: Incusd, number: int) -> None:
    outer = wire(number)
    ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", str(daemon.holder))
    ip("link", "set", outer, "master", BRIDGE, "up")
    for words in (
        ["ip", "address", "add", f"{address(number)}/24", "dev", "eth0"],
        ["ip", "link", "set", "eth0", "up"],
        ["ip", "route", "add", "default", "via", f"10.98.{NUMBER}.1"],
    ):
        subprocess.run(daemon.inside(*words), check=True)


def ip(*words: str) -> None:
    """Change this machine's network."""
    subprocess.run(["ip", *words], check=True)
