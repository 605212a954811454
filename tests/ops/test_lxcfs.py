"""lxcfs at its mount: started, found, and started again after it was killed."""

import signal
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from openvps.core.settings import Settings
from openvps.ops import incus_daemon, prepare
from openvps.ops.machine import NotReady
from openvps.ops.processes import end


@pytest.fixture
def mount(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    place = tmp_path / "lxcfs"
    monkeypatch.setattr(incus_daemon, "LXCFS", place)
    (settings.data_dir / "log").mkdir(exist_ok=True)
    yield place
    incus_daemon.stop(settings)
    subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)


def test_what_a_killed_lxcfs_leaves_behind_is_taken_away_and_mounted_anew(settings: Settings, mount: Path) -> None:
    assert incus_daemon.ensure_lxcfs(settings) == []
    end(int((settings.data_dir / "lxcfs.pid").read_text()), signal.SIGKILL, within_s=10)
    with pytest.raises(OSError, match=r"not connected|abort"):
        list(mount.iterdir())
    deadline = time.monotonic() + 10
    while incus_daemon.lxcfs_mounted():  # the kernel remembers a second long what it was told of the folder
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert incus_daemon.ensure_lxcfs(settings) == []
    assert "MemTotal" in (mount / "proc/meminfo").read_text()


def test_none_is_started_for_a_daemon_of_the_operators_that_does_not_answer(settings: Settings, mount: Path) -> None:
    named = settings.model_copy(update={"incus_socket": settings.data_dir / "nobody"})
    with pytest.raises(NotReady, match="OPENVPS_INCUS_SOCKET"):
        prepare.engine(named, [])
    assert not mount.exists()
    assert not (settings.data_dir / "lxcfs.pid").exists()
