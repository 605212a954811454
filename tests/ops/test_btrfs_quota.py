"""A btrfs that lost count of its quota groups is noticed and counts anew."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from incusd import until
from openvps.ops import btrfs_quota, pool_unit


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    file, place = tmp_path / "disk.img", tmp_path / "place"
    with file.open("wb") as image:
        image.truncate(256 << 20)
    place.mkdir()
    subprocess.run(["mkfs.btrfs", "-q", str(file)], check=True)
    subprocess.run(["mount", "-o", "loop", str(file), str(place)], check=True)
    yield place
    # A count that goes on in the kernel holds it, also when who asked for it was told to end.
    until(lambda: subprocess.run(["umount", str(place)], check=False).returncode == 0)


def btrfs(*words: str) -> None:
    subprocess.run(["btrfs", *words], check=True, capture_output=True)


def shared(mount: Path) -> None:
    """Have two subvolumes share what is in them, and be counted."""
    btrfs("quota", "enable", str(mount))
    btrfs("quota", "rescan", "-w", str(mount))
    btrfs("subvolume", "create", str(mount / "sub"))
    (mount / "sub" / "file").write_bytes(b"x" * 65536)
    btrfs("subvolume", "snapshot", str(mount / "sub"), str(mount / "shared"))
    btrfs("filesystem", "sync", str(mount))


def lose(mount: Path) -> None:
    """Have btrfs lose count, as of what it would have to look through all shared data for."""
    btrfs("qgroup", "create", "1/1", str(mount))
    btrfs("qgroup", "assign", "--no-rescan", "0/256", "1/1", str(mount))


def test_a_lost_count_is_seen_and_made_good(mount: Path) -> None:
    shared(mount)
    assert not btrfs_quota.inconsistent(mount)
    lose(mount)
    assert btrfs_quota.inconsistent(mount)
    btrfs_quota.count_again(mount)
    assert not btrfs_quota.inconsistent(mount)


def test_the_unit_has_it_counted_anew(mount: Path) -> None:
    shared(mount)
    with subprocess.Popen(["sh", "-c", pool_unit.watch(mount)], process_group=0) as unit:
        try:
            lose(mount)
            assert btrfs_quota.inconsistent(mount)
            ends = time.monotonic() + 30
            while btrfs_quota.inconsistent(mount):
                assert time.monotonic() < ends
                time.sleep(0.1)
            assert unit.poll() is None
        finally:
            os.killpg(unit.pid, signal.SIGTERM)


def test_what_outgrew_its_quota_can_be_changed_again(mount: Path) -> None:
    btrfs("quota", "enable", str(mount))
    for name in ("outgrown", "within"):
        btrfs("subvolume", "create", str(mount / name))
        (mount / name / "file").write_bytes(os.urandom(4 << 20))
    btrfs("filesystem", "sync", str(mount))
    btrfs("qgroup", "limit", str(2 << 20), str(mount / "outgrown"))
    btrfs("qgroup", "limit", str(8 << 20), str(mount / "within"))
    with pytest.raises(OSError, match="quota"):
        (mount / "outgrown" / "more").write_bytes(b"x" * 65536)
    btrfs_quota.count_again(mount)
    (mount / "outgrown" / "more").write_bytes(b"x" * 65536)
    btrfs("qgroup", "limit", str(40 << 20), str(mount / "outgrown"))
    with pytest.raises(OSError, match="quota"):
        (mount / "within" / "more").write_bytes(os.urandom(5 << 20))


def test_another_file_system_has_nothing_to_count(tmp_path: Path) -> None:
    assert not btrfs_quota.inconsistent(tmp_path)
