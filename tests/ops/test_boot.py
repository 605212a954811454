"""What systemd does at boot before Incus, in a network of its own; a whole boot is in `script/bench systemd`."""

import shutil
import subprocess
from pathlib import Path

import pytest

from openvps.core.settings import Settings
from openvps.ops import boot, hostnet, incus_daemon
from openvps.ops.run import run

SHOW = "nft list ruleset; cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding"


def commands(unit: str) -> list[str]:
    return [
        line.removeprefix("ExecStart=").lstrip("-") for line in unit.splitlines() if line.startswith("ExecStart=")
    ]


def in_an_empty_network(*lines: str) -> str:
    """Run lines as a machine does that has just booted: no rules, and nothing forwards."""
    return run(["unshare", "--net", "sh", "-e", "-c", "\n".join(lines)])


def test_the_unit_brings_back_the_firewall_and_forwarding_and_twice_is_no_harm(settings: Settings) -> None:
    hostnet.apply(settings, "here")
    try:
        boot.save(settings, "here")
        boot.save(settings, "here")
        stands = run(["nft", "list", "table", "inet", hostnet.table_name(settings)])
        assert "0\n0\n" in in_an_empty_network("echo 0 >/proc/sys/net/ipv4/ip_forward", SHOW)
        lines = commands(boot.unit(settings))
        seen = in_an_empty_network("echo 0 >/proc/sys/net/ipv4/ip_forward", *lines, *lines, SHOW)
    finally:
        hostnet.remove(settings, "here")
    assert seen == f"{stands}1\n1\n"


def test_interfaces_that_no_server_was_given_are_removed(settings: Settings) -> None:
    boot.save(settings, "here")
    prefix = settings.nic_prefix
    [*_, line] = commands(boot.unit(settings))
    seen = in_an_empty_network(
        f"ip link add {prefix}1 type veth peer name veth1",
        "unshare --net sleep 60 &",
        "until [ $(readlink /proc/$!/ns/net) != $(readlink /proc/$$/ns/net) ]; do sleep 0.1; done",
        f"ip link add {prefix}2 type veth peer name eth0 netns $!",
        f"ip link add {prefix}x type veth peer name veth3",
        f"ip link add a{prefix}4 type veth peer name veth4",
        line,
        line,
        "ip -br link show type veth | cut -d@ -f1",
        "kill $!",
    )
    assert set(seen.split()) == {f"{prefix}2", f"{prefix}x", "veth3", f"a{prefix}4", "veth4"}


def test_what_is_saved_is_root_s_alone_and_gone_with_the_data_folder(settings: Settings) -> None:
    boot.save(settings, "here")
    kept = settings.data_dir / "boot"
    assert kept.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in kept.iterdir()} == {0o600}
    assert f"ConditionPathExists={kept}/firewall.nft\n" in boot.unit(settings)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd isn't installed")
def test_systemd_understands_the_unit(settings: Settings, tmp_path: Path) -> None:
    boot.save(settings, "here")
    file = tmp_path / boot.unit_name(settings)
    file.write_text(boot.unit(settings))
    said = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False)
    assert file.name not in said.stdout + said.stderr
    assert said.returncode == 0, said.stderr


def test_taking_away_a_unit_that_was_never_there_is_success(settings: Settings, tmp_path: Path) -> None:
    boot.remove(settings, units=tmp_path)


def test_only_a_daemon_that_systemd_starts_needs_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incus_daemon, "SYSTEMD", settings.data_dir)
    assert incus_daemon.systemds(settings)
    named = {"incus_socket": incus_daemon.SYSTEM_SOCKET}
    assert incus_daemon.systemds(settings.model_copy(update=named))
    assert not incus_daemon.systemds(settings.model_copy(update={"incus_socket": settings.data_dir / "other"}))
    incus_daemon.folder(settings).mkdir()
    assert not incus_daemon.systemds(settings)
    assert incus_daemon.systemds(settings.model_copy(update=named))
