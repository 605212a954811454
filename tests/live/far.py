"""The lab's own daemon once more, as a cell on another machine: HTTPS over a wire that can be cut or freeze."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from customer import Customer

from lab import STATE, Lab


def openvps(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `openvps` with the lab's settings, as its operator does."""
    env = {**os.environ, **json.loads((Path(os.environ[STATE]) / "env.json").read_text())}
    program = Path(sys.executable).parent / "openvps"
    return subprocess.run([program, *arguments], env=env, capture_output=True, text=True, timeout=300, check=False)


def listening(customer: Customer) -> int:
    """Have the lab's daemon listen on a TCP port, and return it."""
    port = 20000 + int(customer.lab.url.split(":")[2].split("/")[0]) % 10000  # below those that the kernel gives
    customer.incus("config", "set", f"core.https_address=127.0.0.1:{port}")
    return port


class Wire:
    """A TCP port that leads to another one, by a process of its own; frozen, the kernel takes connections for it."""

    def __init__(self, to: int) -> None:
        self.to = to
        carry = [sys.executable, str(Path(__file__).with_name("carry.py")), str(to)]
        self._process = subprocess.Popen(carry, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())

    @contextmanager
    def frozen(self) -> Generator[None]:
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@dataclass
class Far:
    """A remote cell, alone in its location."""

    customer: Customer
    wire: Wire
    name: str

    @property
    def lab(self) -> Lab:
        return self.customer.lab

    @property
    def project(self) -> str:
        return f"{self.lab.project}-{self.name}"

    @property
    def network(self) -> str:
        return f"10.{64 + self.wire.to % 64}.{sum(self.name.encode()) % 250}.0/24"

    def token(self) -> str:
        return self.customer.incus("config", "trust", "add", self.name, "--quiet").strip()

    def add(self, token: str) -> subprocess.CompletedProcess[str]:
        return openvps(
            *("cell", "add", f"https://127.0.0.1:{self.wire.port}", "--trust-token", token, "--name", self.name),
            *("--location", self.name, "--location-name", self.name, "--country", "Far", "--country-code", "AQ"),
            *("--network", self.network, "--project", self.project, "--pool", self.lab.pool),
        )

    def create(self) -> int:
        return self.customer.create(location=self.name)["id"]

    def end(self) -> None:
        """Remove servers, cell and project."""
        self.customer.clear()
        assert openvps("cell", "remove", self.name).returncode == 0
        for image in json.loads(self.customer.incus("image", "list", "--project", self.project, "--format", "json")):
            self.customer.incus("image", "delete", image["fingerprint"], "--project", self.project)
        self.customer.incus("project", "delete", self.project)
