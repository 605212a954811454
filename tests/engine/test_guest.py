"""Inside a machine: limits that hold, files and programs that may be hostile."""

import asyncio
import errno
from pathlib import Path

import pytest
from workshop import Workshop, on_host, until_true

from lab import Lab
from openvps.engine.protocol import EngineError, Missing
from openvps.ops import btrfs_quota
from patience import until

pytestmark = [pytest.mark.live, pytest.mark.anyio]


async def said(workshop: Workshop, name: str, command: str) -> str:
    """Run a shell command in the machine and return what it printed."""
    await workshop.engine.run(name, ["sh", "-c", f"{command} > /root/said 2>&1"])
    return (await workshop.engine.read_file(name, "/root/said")).decode()


async def test_a_machine_sees_its_own_cpus_memory_name_and_addresses(workshop: Workshop) -> None:
    spec = await workshop.a_machine(memory_mib=96)

    async def has_its_cpus() -> bool:  # Incus hands them out just after the start
        return await said(workshop, spec.name, "nproc") == "1\n"

    assert await until_true(has_its_cpus)
    assert (await said(workshop, spec.name, "head -n 1 /proc/meminfo")).split()[1] == str(96 * 1024)
    assert await said(workshop, spec.name, "hostname") == f"{spec.hostname}\n"
    assert spec.addresses[0] in await said(workshop, spec.name, "cat /proc/net/fib_trie")
    assert "fd790000000000000000" in await said(workshop, spec.name, "cat /proc/net/if_inet6")


async def test_memory_beyond_the_limit_is_refused(workshop: Workshop) -> None:
    spec = await workshop.a_machine(memory_mib=64)
    assert await workshop.engine.run(spec.name, ["dd", "if=/dev/zero", "of=/dev/null", "bs=30M", "count=1"]) == 0
    killed = 137
    assert (
        await workshop.engine.run(spec.name, ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"]) == killed
    )


async def test_processes_beyond_the_limit_are_refused(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    assert await said(workshop, spec.name, "for i in $(seq 900); do sleep 99 & done") == ""
    assert "can't fork" in await said(workshop, spec.name, "for i in $(seq 200); do sleep 99 & done")


async def test_limits_can_be_raised_on_a_running_machine(workshop: Workshop) -> None:
    spec = await workshop.a_machine(memory_mib=64)
    bigger = workshop.a_spec(name=spec.name, nic=spec.nic, addresses=spec.addresses, memory_mib=128)
    await workshop.engine.configure(spec.name, bigger)
    assert (await said(workshop, spec.name, "head -n 1 /proc/meminfo")).split()[1] == str(128 * 1024)


async def test_cpus_changed_together_with_all_else_are_there_at_once(workshop: Workshop) -> None:
    spec = await workshop.a_machine(memory_mib=64)
    for turn in range(20):
        cpus = 2 - turn % 2
        other = workshop.a_spec(
            name=spec.name,
            nic=spec.nic,
            addresses=spec.addresses,
            vcpus=cpus,
            memory_mib=64 + turn,
            storage_gb=1 + turn,
        )
        await workshop.engine.configure(spec.name, other)

        async def seen(cpus: int = cpus) -> bool:
            return (await said(workshop, spec.name, "grep -c ^processor /proc/cpuinfo")).strip() == str(cpus)

        assert await until_true(seen)


async def test_input_reaches_a_program_and_its_exit_code_returns(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    text = b"a secret line\n" * 20_000  # more than one message
    assert await workshop.engine.run(spec.name, ["dd", "of=/root/in"], stdin=text) == 0
    assert await workshop.engine.read_file(spec.name, "/root/in", limit=len(text) + 1) == text
    assert await workshop.engine.run(spec.name, ["sh", "-c", "exit 7"], stdin=text) == 7
    for _ in range(4):  # Incus answers in either of two ways
        assert await workshop.engine.run(spec.name, ["nosuchprogram"]) == 127


async def test_a_program_that_never_ends_is_given_up_and_killed(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    async with asyncio.timeout(8):
        with pytest.raises(EngineError):
            await workshop.engine.run(spec.name, ["yes", "flooding"])
    assert "flooding" not in await said(workshop, spec.name, "ps")


async def test_a_password_goes_in_by_standard_input_alone(workshop: Workshop, lab: Lab) -> None:
    spec = await workshop.a_machine(image=lab.image, memory_mib=256, storage_gb=2)
    line = b"root:$6$salt$hashhashhash\n"
    assert await workshop.engine.run(spec.name, ["chpasswd", "-e"], stdin=line) == 0
    shadow = await workshop.engine.read_file(spec.name, "/etc/shadow")
    assert line.strip() + b":" in shadow
    url = f"http://incus/1.0/operations?recursion=1&project={lab.project}"
    operations = await on_host("curl", "-s", "--unix-socket", str(lab.socket), url)
    assert "chpasswd" in operations
    assert "hashhash" not in operations


async def test_file_reads_are_limited_in_size(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    await workshop.engine.run(spec.name, ["dd", "if=/dev/zero", "of=/big", "bs=1M", "count=300"])
    async with asyncio.timeout(2):
        assert await workshop.engine.read_file(spec.name, "/big", limit=1000) == bytes(1000)


@pytest.mark.parametrize(
    ("make", "path"),
    [
        ("ln -s /etc/passwd /odd", "/odd"),
        ("true", "/root"),
        ("true", "/nowhere"),
        ("true", "/../nowhere"),
    ],
)
async def test_what_is_no_regular_file_is_missing(workshop: Workshop, make: str, path: str) -> None:
    spec = await workshop.a_machine()
    await workshop.engine.run(spec.name, ["sh", "-c", make])
    with pytest.raises(Missing):
        await workshop.engine.read_file(spec.name, path)


@pytest.mark.parametrize("path", ["/pipe", "/dev/zero", "/dev/console", "/empty"])
async def test_what_has_no_size_reads_as_empty_at_once(workshop: Workshop, path: str) -> None:
    spec = await workshop.a_machine()
    await workshop.engine.run(spec.name, ["sh", "-c", "mkfifo /pipe; touch /empty"])
    async with asyncio.timeout(1):
        assert await workshop.engine.read_file(spec.name, path) == b""


async def test_a_link_out_of_the_machine_stays_inside(workshop: Workshop, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    spec = await workshop.a_machine()
    await workshop.engine.run(spec.name, ["ln", "-s", "/../../../../../../../..", "/root/up"])
    with pytest.raises(Missing):
        await workshop.engine.read_file(spec.name, f"/root/up{secret}")


async def test_a_full_disk_still_stops_starts_configures_and_deletes(workshop: Workshop) -> None:
    spec, engine = await workshop.a_machine(), workshop.engine
    for end in (lambda: engine.stop(spec.name, 10), lambda: engine.kill(spec.name), lambda: engine.kill(spec.name)):
        await fill_disk(workshop, spec.name)
        await until(end)
        await workshop.until_status(spec.name, "stopped")
        await until(lambda: engine.start(spec.name))
        await workshop.until_status(spec.name, "running")
    await fill_disk(workshop, spec.name)
    await engine.mark(spec.name, "reboot", "1")
    renamed = workshop.a_spec(name=spec.name, nic=spec.nic, addresses=spec.addresses, hostname="full")
    await engine.configure(spec.name, renamed)
    (machine,) = [machine for machine in await engine.machines() if machine.name == spec.name]
    assert (machine.hostname, machine.marks) == ("full", {"reboot": "1"})
    assert machine.disk_used_bytes
    # It really was full (btrfs stops counting, and so limiting, when its quota groups turn inconsistent); and it has
    # the room it got at three starts, and no more.
    assert 1e9 < machine.disk_used_bytes <= 1e9 + 3 * (16 << 20)
    await until(lambda: engine.kill(spec.name))
    await until(lambda: engine.delete(spec.name))
    assert await engine.look(spec.name) is None


async def test_a_disk_that_holds_far_more_than_its_quota_is_started(workshop: Workshop, lab: Lab) -> None:
    """As when the guest wrote on while the kernel had lost count, and the count is right again."""
    spec, pool = await workshop.a_machine(), Path(lab.socket).parent / "storage-pools" / lab.pool
    await workshop.engine.kill(spec.name)
    disk = pool / "containers" / f"{lab.project}_{spec.name}"
    await on_host("btrfs", "qgroup", "limit", "none", str(disk))
    await on_host("dd", "if=/dev/urandom", f"of={disk}/rootfs/over", "bs=1M", "count=1100", "conv=fsync")
    await on_host("btrfs", "qgroup", "limit", "1000000000", str(disk))
    await asyncio.to_thread(btrfs_quota.count_again, pool)
    await until(lambda: workshop.engine.start(spec.name))
    await workshop.until_status(spec.name, "running")


async def test_a_disk_holds_what_the_plan_says_and_no_more(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    await fill_disk(workshop, spec.name)
    (machine,) = [machine for machine in await workshop.engine.machines() if machine.name == spec.name]
    assert machine.disk_used_bytes
    assert 0.95e9 < machine.disk_used_bytes <= 1.001e9


@pytest.mark.parametrize("number", [0x50009401, 0x5000940E, 0x50009417, 0x50009418])
@pytest.mark.parametrize("beyond", [0, 1 << 32])  # the kernel drops the upper half: so must the filter
async def test_no_subvolume_escapes_the_quota(workshop: Workshop, lab: Lab, number: int, beyond: int) -> None:
    """From linux/btrfs.h: the first version's structure is fd and name, the second's has 48 bytes between."""
    spec = await workshop.a_machine(image=lab.image, memory_mib=256, storage_gb=2)
    layout = "q a4088" if number in {0x50009401, 0x5000940E} else "q x48 a4040"
    ioctl = f"""
        open(my $root, "<", "/root");
        my $asked = pack("{layout}", fileno($root), "escape");
        exit(syscall(16, fileno($root), {number + beyond}, $asked) < 0 ? $!+0 : 0)
    """
    assert await workshop.engine.run(spec.name, ["perl", "-e", ioctl]) == errno.EPERM
    with pytest.raises(Missing):
        await workshop.engine.read_file(spec.name, "/root/escape")


async def fill_disk(workshop: Workshop, name: str) -> None:
    """Write until nothing more goes in."""
    await workshop.engine.run(name, ["sh", "-c", "rm -f /dev/full.*"])
    for size in ("1M", "64k", "4k"):
        program = f"dd if=/dev/urandom bs={size} count=1200 >> /fill.{size}; sync"
        async with asyncio.timeout(60):
            await workshop.engine.run(name, ["sh", "-c", f"({program}; touch /dev/full.{size}) >/dev/null 2>&1 &"])
            await until_true(lambda size=size: _exists(workshop, name, f"/dev/full.{size}"))


async def _exists(workshop: Workshop, name: str, path: str) -> bool:
    return await workshop.engine.run(name, ["test", "-e", path]) == 0
