"""A small world around a host: its internet in a network namespace, and two servers of different customers."""

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path

from openvps.core.settings import Settings
from openvps.engine.protocol import Engine, MachineSpec, Missing
from openvps.ops.run import run
from pytest_process import NUMBER

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Site:
    """Names and addresses for one of the test's processes, so that two can play side by side."""

    number: int = NUMBER

    @property
    def name(self) -> str:
        return f"hostnet{self.number}"

    @property
    def nic_prefix(self) -> str:
        return f"hn{'abcdefgh'[self.number]}"

    @property
    def uplink(self) -> str:
        return f"up-{self.name}"

    @property
    def metadata(self) -> str:
        return f"169.254.169.{254 - self.number}"

    @property
    def private(self) -> str:
        return f"10.201.{self.number}.2"

    @property
    def resolver(self) -> str:
        return f"10.202.{self.number}.53"

    @property
    def host(self) -> tuple[str, str]:
        """The host's addresses on its uplink."""
        return f"198.51.100.{self.number * 16 + 1}", str(ip_address(f"2001:db8:1:{self.number}::1"))

    @property
    def outside(self) -> tuple[str, str]:
        """The internet's addresses."""
        return f"198.51.100.{self.number * 16 + 2}", f"2001:db8:1:{self.number}::2"

    @property
    def gateway(self) -> tuple[str, str]:
        return f"203.0.113.{self.number * 16 + 14}", f"2001:db8:2:{self.number}::e"

    def settings(self, mode: str, **more: object) -> Settings:
        base: dict[str, object] = {
            "project": self.name,
            "nic_prefix": self.nic_prefix,
            "network_mode": mode,
            "nameservers": [self.resolver],
        }
        if mode == "nat":
            base |= {"ipv4_pool": IPv4Network(f"10.78.{self.number}.0/24")}
            base |= {"ipv6_pool": IPv6Network(f"fd78:{self.number}::/64")}
        else:
            base |= {"ipv4_pool": IPv4Network(f"203.0.113.{self.number * 16}/28")}
            base |= {"ipv6_pool": IPv6Network(f"2001:db8:2:{self.number}::/64")}
            base |= {"ipv4_gateway": self.gateway[0], "ipv6_gateway": self.gateway[1], "network_parent": self.uplink}
        return Settings(**(base | more))  # pyright: ignore[reportArgumentType] -- values by name, which pydantic checks


@dataclass
class World:
    """The internet: a namespace with services that tell who calls."""

    site: Site
    services: list[subprocess.Popen[str]] = field(default_factory=list[subprocess.Popen[str]])

    def make(self) -> None:
        site, ip = self.site, ["ip", "-n", self.site.name]
        self.clear()
        run(["ip", "netns", "add", site.name])
        run(["ip", "link", "add", site.uplink, "type", "veth", "peer", "name", "eth0", "netns", site.name])
        v4, v6 = site.outside
        for address in (f"{site.host[0]}/28", f"10.201.{site.number}.1/24", f"10.202.{site.number}.1/24"):
            run(["ip", "address", "add", address, "dev", site.uplink])
        run(["ip", "address", "add", f"{site.host[1]}/64", "dev", site.uplink, "nodad"])
        run(["ip", "link", "set", site.uplink, "up"])
        inside = (f"{v4}/28", f"{site.private}/24", f"{site.resolver}/24", f"{site.metadata}/32")
        for address in (*inside, f"{site.gateway[0]}/28"):
            run([*ip, "address", "add", address, "dev", "eth0"])
        for address in (f"{v6}/64", f"{site.gateway[1]}/64"):
            run([*ip, "address", "add", address, "dev", "eth0", "nodad"])
        for device in ("lo", "eth0"):
            run([*ip, "link", "set", device, "up"])
        run(["ip", "route", "add", f"{site.metadata}/32", "dev", site.uplink])
        self.answer(["ip", "netns", "exec", site.name], "tcp:80", "tcp:25", "tcp:53", "udp:53")

    def answer(self, prefix: Sequence[str], *ports: str) -> None:
        service = subprocess.Popen(
            [*prefix, sys.executable, str(HERE / "answering.py"), *ports], stdout=subprocess.PIPE, text=True
        )
        self.services.append(service)
        assert service.stdout is not None
        assert service.stdout.readline() == "ready\n"

    def ask(self, *arguments: str) -> str:
        """Ask from the internet."""
        argv = ["ip", "netns", "exec", self.site.name, sys.executable, str(HERE / "attacking.py"), "ask", *arguments]
        return run(argv).strip()

    def clear(self) -> None:
        for service in self.services:
            service.kill()
            service.communicate()
        self.services.clear()
        for argv in (["ip", "netns", "del", self.site.name], ["ip", "link", "del", self.site.uplink]):
            subprocess.run(argv, capture_output=True, check=False)


@dataclass(frozen=True)
class Server:
    """A server of a customer, entered as the customer would: over SSH, to its own address."""

    name: str
    ipv4: str
    ipv6: str
    key: Path

    def ssh(self, *command: str) -> list[str]:
        options = ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        return ["ssh", "-i", str(self.key), *(f"-o{one}" for one in options), f"root@{self.ipv4}", *command]

    def tries(self, *arguments: str) -> str:
        """Run the attacker's program inside and return what it says."""
        return run(self.ssh("python3", "-", *arguments), stdin=(HERE / "attacking.py").read_text()).strip()

    def listening(self, seconds: float, mark: str) -> subprocess.Popen[str]:
        """Start listening on the server's interface; the last line says how many frames with `mark` came."""
        program = subprocess.Popen(
            self.ssh("python3", "-", "listen", str(seconds), mark),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write((HERE / "attacking.py").read_text())
        program.stdin.close()
        program.stdin = None
        assert program.stdout.readline() == "listening\n"
        return program


@dataclass(frozen=True)
class Town:
    settings: Settings
    world: World
    attacker: Server
    neighbour: Server

    @property
    def site(self) -> Site:
        return self.world.site


def spec(settings: Settings, server: Server, image: str, number: int) -> MachineSpec:
    return MachineSpec(
        name=server.name,
        image=image,
        vcpus=1,
        memory_mib=512,
        storage_gb=5,
        hostname=server.name,
        addresses=[server.ipv4, server.ipv6],
        nic=f"{settings.nic_prefix}{number}",
        nic_parent=settings.network_parent,
        authorized_keys=[server.key.with_suffix(".pub").read_text().strip()],
        nameservers=settings.nameservers,
    )


async def remove(engine: Engine, name: str) -> None:
    with contextlib.suppress(Missing):
        await engine.kill(name)
    await engine.delete(name)
