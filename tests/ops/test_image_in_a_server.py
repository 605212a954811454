"""The real image in real servers: what it makes of names, keys and user_data, and what no two servers share."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from lab import Lab
from openvps.engine.protocol import Engine, MachineSpec, Missing
from patience import until
from pytest_process import NUMBER

pytestmark = [pytest.mark.live, pytest.mark.anyio]

HOSTILE = 'a"b {{ config }} {% include "/etc/passwd" %} <&> \'$(id)`id`'
USER_DATA = f'#!/bin/sh\n# {HOSTILE} \\\ncp "$0" /root/ran\n\n'


@dataclass(frozen=True)
class Guest:
    engine: Engine
    name: str

    async def says(self, script: str) -> str:
        """Return what a shell script prints inside."""
        await until(lambda: self.engine.run(self.name, ["sh", "-c", f"({script}) >/root/said 2>&1"]))
        return (await until(lambda: self.engine.read_file(self.name, "/root/said"))).decode().strip()


@pytest.fixture
async def boots(engine: Engine, lab: Lab) -> AsyncGenerator[Callable[..., Awaitable[Guest]]]:
    """Return a function that makes a server of the lab's image and waits until it has booted."""
    made: list[str] = []

    async def boot(**changes: Any) -> Guest:
        number = len(made) + 200 + 20 * NUMBER
        wanted: dict[str, Any] = {
            "name": f"img{number}",
            "image": lab.image,
            "vcpus": 1,
            "memory_mib": 512,
            "storage_gb": 5,
            "hostname": "named.example.com",
            "addresses": (f"10.79.2.{number}", f"fd79:2::{number}"),
            "nic": f"img{number}",
            "nameservers": ("9.9.9.9", "2620:fe::fe"),
        }
        made.append(wanted["name"])
        await remove(engine, wanted["name"])
        await until(lambda: engine.create(MachineSpec(**(wanted | changes))))
        guest = Guest(engine, wanted["name"])
        end = time.monotonic() + 60
        while (state := await guest.says("systemctl is-system-running")) not in {"running", "degraded"}:
            assert time.monotonic() < end, f"still {state}"
            await asyncio.sleep(0.2)
        return guest

    yield boot
    for name in made:
        await remove(engine, name)


async def remove(engine: Engine, name: str) -> None:
    with contextlib.suppress(Missing):
        await until(lambda: engine.kill(name))
    await until(lambda: engine.delete(name))


async def test_two_servers_share_no_secret(boots: Callable[..., Awaitable[Guest]]) -> None:
    guests = [await boots(), await boots()]
    for secret in ("/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ecdsa_key"):
        first, second = [await guest.says(f"cat {secret}") for guest in guests]
        assert first
        assert first != second, f"both have the same {secret}"
    assert "No such file" in await guests[0].says("ls /etc/ssh/ssh_host_rsa_key /var/lib/systemd/random-seed")


async def test_a_boot_is_clean_and_what_a_customer_expects_is_there(boots: Callable[..., Awaitable[Guest]]) -> None:
    guest = await boots()
    assert await guest.says("systemctl is-system-running; systemctl --failed --no-legend --plain") == "running"
    assert await guest.says("cat /etc/hostname; hostname -f") == "named.example.com\nnamed.example.com"
    assert await guest.says("cat /etc/resolv.conf") == "nameserver 9.9.9.9\nnameserver 2620:fe::fe"
    programs = "apt-get curl nano less sudo man journalctl crontab python3 ping ip"
    assert "missing" not in await guest.says(f"for one in {programs}; do which $one || echo missing $one; done")
    assert await guest.says("journalctl -b --no-pager | wc -l") != "0"
    assert "running" in await guest.says("loginctl list-sessions >/dev/null && echo running")  # wakes bus and logind
    assert await guest.says("systemctl is-active console-getty ssh cron") == "active\nactive\nactive"
    assert await guest.says("locale -a") == "C\nC.utf8\nPOSIX\nen_US.utf8"
    assert (await guest.says("passwd -S root")).split()[1] == "L"
    assert await guest.says("sshd -T | grep -E '^(permitrootlogin|hostkey )'") == (
        "permitrootlogin yes\nhostkey /etc/ssh/ssh_host_ed25519_key\nhostkey /etc/ssh/ssh_host_ecdsa_key"
    )


async def test_without_user_data_cloud_init_does_not_run(boots: Callable[..., Awaitable[Guest]]) -> None:
    guest = await boots()
    assert await guest.says("ls /run/cloud-init /var/lib/cloud/instance 2>/dev/null") == ""


async def test_hostile_values_arrive_as_they_are_and_mean_nothing(boots: Callable[..., Awaitable[Guest]]) -> None:
    line = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMatT9Rp/wNJRC3ecpI/tQQldfToXaWjyu3pG8gEQNvk {HOSTILE}"
    guest = await boots(user_data=USER_DATA, hostname=HOSTILE, authorized_keys=[line])
    await guest.says("cloud-init status --wait")
    seed = "/var/lib/cloud/seed/nocloud-net/user-data"
    assert (await until(lambda: guest.engine.read_file(guest.name, seed))).decode() == USER_DATA
    assert (await until(lambda: guest.engine.read_file(guest.name, "/root/ran"))).decode() == USER_DATA
    assert await guest.says("cat /root/.ssh/authorized_keys") == line
    assert await guest.says("cat /etc/hostname") == HOSTILE
    assert await guest.says("stat -c '%a %U' /root/.ssh /root/.ssh/authorized_keys") == "700 root\n600 root"
    assert "no such user" in await guest.says("id debian")


async def test_cloud_config_sets_what_it_says_and_no_more(boots: Callable[..., Awaitable[Guest]]) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMatT9Rp/wNJRC3ecpI/tQQldfToXaWjyu3pG8gEQNvk hers"
    guest = await boots(
        authorized_keys=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB1S0Mw1rpZ0xyUkOeJ3vNoOZ5UqlpdOM2sOkyC2tDW2 ours"],
        user_data=f"#cloud-config\nssh_authorized_keys: ['{key}']\nwrite_files: [{{path: /root/new, content: by}}]\n",
    )
    before = await guest.says("cat /etc/ssh/ssh_host_ed25519_key.pub")
    await guest.says("cloud-init status --wait")
    assert await guest.says("cat /root/new") == "by"
    keys = await guest.says("cat /root/.ssh/authorized_keys")
    assert "ours" in keys
    assert "hers" in keys
    assert "command=" not in keys
    assert await guest.says("cat /etc/ssh/ssh_host_ed25519_key.pub") == before
    assert await guest.says("hostname") == "named.example.com"
    assert await guest.says("cat /etc/resolv.conf") == "nameserver 9.9.9.9\nnameserver 2620:fe::fe"
