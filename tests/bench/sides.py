"""The two sides: a server by our API, and an instance by the `incus` client with exactly the same config."""

import json
import os
import subprocess
import time
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from itertools import count
from pathlib import Path

from account import Account
from login import log_in

from lab import Lab
from openvps.engine.incus import config as words
from openvps.engine.protocol import MachineSpec


@dataclass(frozen=True)
class Made:
    """One machine, from the order to the login; seconds since the epoch."""

    machine: str
    began: float
    answered: float
    greeted: float
    done: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.done - self.began


class Ours:
    """`POST /servers/`, and a login at the address that the server then shows."""

    name = "OpenVPS"

    def __init__(self, lab: Lab) -> None:
        self._account = Account(lab)
        self._key = lab.key
        self._numbers = count()

    def make(self) -> Made:
        began = time.time()
        server = self._account.create(f"bench-{next(self._numbers)}")
        answered = time.time()
        entered = log_in(self._account.get(server)["ip_address"], self._key)
        return Made(f"vps-{server}", began, answered, entered.greeted, entered.done)

    def clear(self) -> None:
        self._account.clear()


class Plain:
    """`incus launch` in our project, with what our engine gives.

    The addresses are the last ones of our own pool, which ours never reach in a run: so firewall and routes treat
    both sides alike.
    """

    name = "incus launch"

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._numbers = count()
        self._made: list[str] = []
        account = Account(lab)
        self._nic_prefix, self._nameservers = account.rows("SELECT nic_prefix, nameservers FROM cell")[0]
        self._keys = [row[0] for row in account.rows("SELECT public_key FROM ssh_key")]
        self._plan = account.rows("SELECT vcpus, memory_mib, storage_gb FROM plan WHERE id = 100")[0]
        pools = [ip_network(str(row[0])) for row in account.rows("SELECT network FROM address_pool")]
        self._v4 = next(pool.broadcast_address for pool in pools if pool.version == 4)
        self._v6 = next((pool.network_address + (2 << 16) for pool in pools if pool.version == 6), None)

    def make(self) -> Made:
        spec = self._spec(next(self._numbers))
        wanted = {"config": words.config_of(spec), "devices": words.devices_of(spec, self._lab.pool)}
        began = time.time()
        self._made.append(spec.name)
        with self._incus("launch", spec.image, spec.name, "--no-profiles") as client:
            assert client.stdin
            client.stdin.write(json.dumps(wanted).encode())
            client.stdin.close()
            answered = time.time()  # as on our side, the login is tried while the machine is being made
            entered = log_in(spec.addresses[0], self._lab.key)
        assert client.returncode == 0
        return Made(spec.name, began, answered, entered.greeted, entered.done)

    def clear(self) -> None:
        if self._made:
            with self._incus("delete", "--force", *self._made) as client:
                client.communicate()
        self._made = []

    def _spec(self, number: int) -> MachineSpec:
        vcpus, memory_mib, storage_gb = self._plan
        addresses = [str(ip_address(int(self._v4) - 2 - number))]
        if self._v6:
            addresses.append(str(self._v6 + number))
        return MachineSpec(
            name=f"plain-{number}",
            image=self._lab.image,
            vcpus=vcpus,
            memory_mib=memory_mib,
            storage_gb=storage_gb,
            hostname=f"plain-{number}",
            addresses=addresses,
            nic=f"{self._nic_prefix}p{number}",
            authorized_keys=self._keys,
            nameservers=self._nameservers,
            marks={"reboots": "0"},
        )

    def _incus(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["incus", "--project", self._lab.project, "--quiet", *arguments],
            env={**os.environ, "INCUS_DIR": str(Path(self._lab.socket).parent)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
