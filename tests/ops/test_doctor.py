"""What the doctor says, on this machine and of others' files."""

import json
import os
import socket
from pathlib import Path

import pytest

from openvps.core.settings import Settings
from openvps.ops import doctor
from openvps.ops.doctor import bandwidth, host, network, vms
from openvps.ops.doctor.finding import Finding
from openvps.ops.run import run


def test_every_check_says_something_and_json_holds_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENVPS_CONFIG", str(tmp_path / "none"))
    monkeypatch.setattr(doctor.settings, "load", lambda: Settings(data_dir=tmp_path))
    code = doctor.main("json")
    found = json.loads(capsys.readouterr().out)
    assert len(found) == len(doctor.CHECKS) == len({one["name"] for one in found})
    assert all(one["seen"] and one["status"] in {"ok", "warn", "fail"} for one in found)
    assert all(one["advice"] for one in found if one["status"] == "fail")
    assert code == int(any(one["status"] == "fail" for one in found))
    assert not [one for one in found if one["seen"].startswith("couldn't be seen")]


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on() -> None:
    def broken(_config: Settings) -> Finding:
        raise RuntimeError("[red]gone")

    found = doctor.look(broken, Settings())
    assert (found.status, found.seen) == ("warn", "couldn't be seen: [red]gone")
    assert doctor.table([found]).row_count == 1


def test_too_few_subordinate_ids_are_found(tmp_path: Path) -> None:
    for name in ("subuid", "subgid"):
        (tmp_path / name).write_text("someone:100000:65536\nroot:200000:65536\n")
    found = host.subordinate_ids(Settings(), tmp_path)
    assert (found.status, found.seen) == ("fail", "enough for 1 servers")
    for name in ("subuid", "subgid"):
        (tmp_path / name).write_text("root:1000000:1000000000\n")
    assert host.subordinate_ids(Settings(), tmp_path).status == "ok"


def test_low_limits_are_named_with_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "fs/inotify").mkdir(parents=True)
    (tmp_path / "fs/inotify/max_user_instances").write_text("128\n")
    assert "fs.inotify.max_user_instances=1024" in host.kernel_limits(Settings(), tmp_path).advice
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/pid_max").write_text("32768\n")
    assert "kernel.pid_max=4194304" in host.processes(Settings(), tmp_path).advice


def test_a_port_that_is_taken_fails(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = Settings(listen=f"127.0.0.1:{taken.getsockname()[1]}", data_dir=tmp_path)
        assert network.port(config).status == "fail"
    assert network.port(config).status == "ok"


def test_a_machine_without_qemu_offers_no_virtual_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = vms.virtual_machines(Settings())
    assert found.status == "warn"
    assert "no QEMU" in found.seen


def test_the_probe_is_a_boot_sector_that_counts() -> None:
    assert len(vms.BOOT_SECTOR) == 512
    assert vms.BOOT_SECTOR.endswith(b"\x55\xaa")
    assert vms.command("kvm", Path("/d"))[1:3] == ["-accel", "kvm"]


@pytest.mark.live
def test_a_limit_of_bandwidth_is_measured_and_leaves_nothing() -> None:
    found = bandwidth.limits(Settings())
    assert "to servers (htb): " in found.seen
    assert found.status == ("ok" if found.seen.count("holds (") == 2 else "warn")
    assert f"openvps-{os.getpid()}-" not in run(["ip", "netns"])
