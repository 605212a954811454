"""Files with holes come back with holes, unpacked by GNU tar as the engine does it."""

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from openvps.engine import holes, manifest
from openvps.engine.incus.disk_image import assemble

OURS: dict[str, Any] = {"architecture": "x86_64", "creation_date": 1, "properties": {}, "templates": {}}
MIB = 1 << 20


def written(file: IO[bytes], *parts: tuple[int, bytes], size: int) -> None:
    for at, content in parts:
        file.seek(at)
        file.write(content)
    file.truncate(size)


def taken(folder: Path) -> Path:
    """Return a folder's files as they come back: written as the engine does, put together anew and unpacked."""
    stored, image = folder / "stored.tar", folder / "image.tar"
    with tarfile.open(stored, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(folder / "rootfs", "rootfs")
    with stored.open("rb") as source, image.open("wb") as out:
        digest = assemble(OURS, {}, source, out)
    with stored.open("rb") as source:
        assert manifest.digest_of(source)[0] == digest
    there = folder / "there"
    there.mkdir()
    subprocess.run(["tar", "-xf", str(image), "-C", str(there)], check=True, timeout=60)
    return there / "rootfs"


CONTENTS: dict[str, Callable[[IO[bytes]], None]] = {
    "hole": lambda file: written(file, size=30 * MIB),
    "end": lambda file: written(file, (20 * MIB, b"end"), size=20 * MIB + 3),
    "middle": lambda file: written(file, (0, b"a" * 5000), (9 * MIB, os.urandom(70_000)), size=10 * MIB + 1),
    "many": lambda file: written(file, *((at * 12288, b"x" * 4096) for at in range(500)), size=6 * MIB),
    "small": lambda file: written(file, (10, b"x"), size=20_000),
    "full": lambda file: written(file, (0, os.urandom(3 * MIB)), size=3 * MIB),
}


def test_what_was_sparse_is_sparse_again_and_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "rootfs"
    (folder / ("long" * 40)).mkdir(parents=True)
    for name, fill in CONTENTS.items():
        with (folder / ("long" * 40) / name).open("wb") as file:
            fill(file)
    (folder / ("long" * 40) / "hole").chmod(0o640)
    there = taken(tmp_path) / ("long" * 40)
    for name in CONTENTS:
        one, other = folder / ("long" * 40) / name, there / name
        assert subprocess.run(["cmp", str(one), str(other)], check=False, timeout=60).returncode == 0, name
        if name != "small":
            assert other.stat().st_blocks <= one.stat().st_blocks + 16, name
    assert (there / "hole").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "image.tar").stat().st_size < 8 * MIB


@pytest.mark.parametrize("name", ["FIRST_HOLE_WITHIN", "DATA_MOST", "PARTS_MOST"])
def test_what_would_keep_too_much_comes_back_whole_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(holes, name, {"PARTS_MOST": 3}.get(name, MIB))
    folder = tmp_path / "rootfs"
    folder.mkdir()
    with (folder / "file").open("wb") as file:
        written(file, (0, os.urandom(2 * MIB)), *((at * MIB, b"x" * 70_000) for at in range(3, 9)), size=12 * MIB)
    there = taken(tmp_path)
    assert (folder / "file").read_bytes() == (there / "file").read_bytes()


def test_what_is_in_a_disk_is_counted_without_its_holes() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        entry = tarfile.TarInfo("rootfs/a")
        entry.size = 3 * MIB
        tar.addfile(entry, io.BytesIO(bytes(MIB) + b"x" * MIB + bytes(MIB)))
    file.seek(0)
    assert manifest.digest_of(file)[1] == MIB
