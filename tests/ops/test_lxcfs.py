"""lxcfs at its mount: started, found, and started again after it was killed."""

import signal
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from openvps.core.settings import Settings
from openvps.ops import incus_daemon
from openvps.ops.processes import end


@pytest.fixture
def mount(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    place = tmp_path / "lxcfs"
    monkeypatch.setattr(incus_daemon, "LXCFS", place)
    (settings.data_dir / "log").mkdir(exist_ok=True)
    yield place
    _end(settings, signal.SIGTERM)
    subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)


def _end(settings: Settings, how: signal.Signals) -> None:
    end(int((settings.data_dir / "lxcfs.pid").read_text()), how, within_s=10)


def test_what_a_killed_lxcfs_leaves_behind_is_taken_away_and_mounted_anew(settings: Settings, mount: Path) -> None:
    assert incus_daemon.ensure_lxcfs(settings) == []
    _end(settings, signal.SIGKILL)
    with pytest.raises(OSError, match=r"not connected|abort"):
        list(mount.iterdir())
    deadline = time.monotonic() + 10
    while incus_daemon.lxcfs_mounted():  # the kernel remembers a second long what it was told of the folder
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert incus_daemon.ensure_lxcfs(settings) == []
    assert "MemTotal" in (mount / "proc/meminfo").read_text()
