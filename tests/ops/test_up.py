"""What `openvps up` hands to its processes, and when it refuses to begin."""

import os
import signal
import socket
import subprocess
import sys
import time
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from openvps.core.settings import Settings
from openvps.ops import farewell, lock, up


def test_the_settings_reach_our_processes_as_they_are(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Settings(
        data_dir=settings.data_dir,
        ipv4_pool=IPv4Network("10.9.0.0/24"),
        nameservers=["192.0.2.1", "2001:db8::1"],
        block_smtp=False,
    )
    environment = up.environment(told)
    for name in [name for name in os.environ if name.startswith("OPENVPS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert environment["OPENVPS_CONFIG"] == "/dev/null"
    assert Settings() == told


def run_up(settings: Settings, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "openvps", "up"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(settings.data_dir.parent),
            "OPENVPS_CONFIG": "/nonexistent",
            "OPENVPS_DATA_DIR": str(settings.data_dir),
            "OPENVPS_PROJECT": settings.project,
            "OPENVPS_IPV4_POOL": str(settings.ipv4_pool),
            "OPENVPS_NIC_PREFIX": settings.nic_prefix,
            **environment,
        },
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_port_in_use_is_said_before_anything_is_begun(settings: Settings) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        run_up(settings, OPENVPS_LISTEN=f"127.0.0.1:{taken.getsockname()[1]}") as process,
    ):
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "OPENVPS_LISTEN" in said
    assert not (settings.data_dir / "postgres/data").exists()


def test_a_failed_step_says_what_to_do_and_leaves_no_process(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    with run_up(settings, OPENVPS_LISTEN=listen, OPENVPS_INCUS_SOCKET="/nonexistent") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "OPENVPS_INCUS_SOCKET" in said
    assert (settings.data_dir / "postgres/data").exists()
    assert not (settings.data_dir / "postgres/data/postmaster.pid").exists()
    assert lock.holder(settings) == 0


def test_a_stop_while_it_prepares_ends_the_database_and_is_no_failure(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    with run_up(settings, OPENVPS_LISTEN=listen, OPENVPS_INCUS_SOCKET="/nonexistent") as process:
        pidfile = settings.data_dir / "postgres/data/postmaster.pid"
        deadline = time.monotonic() + 30
        while not pidfile.exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "servers, if there are any, keep running" in said
    assert not pidfile.exists()


def test_its_last_word_promises_nothing_of_servers_that_down_deals_with(settings: Settings) -> None:
    named = settings.model_copy(update={"incus_socket": settings.data_dir / "nobody"})
    with farewell.for_down(named):
        assert farewell.words(named) == "OpenVPS has ended: openvps down goes on"
    assert "keep running" in farewell.words(named)
    (named.data_dir / "ended-by-down").touch()
    farewell.forget(named)
    assert "keep running" in farewell.words(named), "a down that was killed long ago ends nothing now"


def test_a_token_that_was_never_shown_is_shown_at_the_next_start(settings: Settings) -> None:
    first = up.remembered(settings, up.Seeded("vps_secret", "curl vps_secret"))
    again = up.remembered(settings, up.Seeded(None, "curl $OPENVPS_TOKEN"))
    assert first == again
    kept = Path(settings.data_dir, "first-token")
    assert kept.stat().st_mode & 0o777 == 0o600
