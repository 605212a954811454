"""What is done to an installed root before it is packed, and what a killed build leaves: nothing."""

import json
import os
import stat
import time
from pathlib import Path

import pytest

from openvps.ops.image import build
from openvps.ops.image.recipes import RECIPES
from openvps.ops.image.rootfs import finish
from openvps.ops.image.sources import Source

DEBIAN = RECIPES["debian-12"]
ARCHIVES = [Source("http://mirror.test/debian", ("bookworm", "bookworm-updates"))]
SECRETS = (
    "etc/ssh/ssh_host_rsa_key",
    "etc/ssh/ssh_host_rsa_key.pub",
    "var/lib/systemd/random-seed",
    "var/lib/dbus/machine-id",
    "root/.bash_history",
)
OF_THE_BUILD = ("etc/apt/sources.list", "etc/apt/apt.conf.d/99mmdebstrap", "var/log/dpkg.log", "tmp/x", "etc/passwd-")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root as mmdebstrap leaves it, as far as it matters."""
    for name in (*SECRETS, *OF_THE_BUILD, "etc/passwd", "etc/machine-id", "etc/hostname", "usr/bin/sh"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("of the machine that built it")
    for name in ("etc/apt/sources.list.d", "etc/systemd/system/multi-user.target.wants", "etc/default", "etc/cloud"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / "etc/nsswitch.conf").write_text("passwd: files\nhosts: files dns myhostname\n")
    (tmp_path / "etc/resolv.conf").symlink_to("/run/elsewhere")
    finish(tmp_path, DEBIAN, ARCHIVES)
    return tmp_path


def test_no_secret_and_no_trace_of_the_build_is_in_an_image(root: Path) -> None:
    assert [name for name in (*SECRETS, *OF_THE_BUILD) if (root / name).exists()] == []
    assert (root / "etc/machine-id").read_text() == ""
    left = [file for file in root.rglob("*") if file.is_file() and not file.is_symlink()]
    assert {str(file.relative_to(root)) for file in left if "that built it" in file.read_text()} == {
        "etc/passwd",
        "usr/bin/sh",
    }


def test_what_holds_keys_and_user_data_is_for_root_alone(root: Path) -> None:
    for name in ("root/.ssh/authorized_keys", "var/lib/cloud/seed/nocloud-net/user-data"):
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o600
        assert stat.S_IMODE((root / name).parent.stat().st_mode) == 0o700


def test_modes_don_t_depend_on_who_builds(root: Path) -> None:
    assert stat.S_IMODE((root / "etc/ssh/sshd_config.d/90-server.conf").stat().st_mode) == 0o644
    assert stat.S_IMODE((root / "etc/ssh/sshd_config.d").stat().st_mode) == 0o755


def test_apt_reads_the_archives_that_the_image_came_from(root: Path) -> None:
    text = (root / "etc/apt/sources.list.d/debian.sources").read_text()
    assert "URIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\n" in text


def test_a_servers_own_name_needs_no_dns(root: Path) -> None:
    assert (root / "etc/nsswitch.conf").read_text().split("hosts:")[1].split() == ["files", "myhostname", "dns"]


def test_every_template_is_there_and_every_one_is_used() -> None:
    described = json.loads(build.metadata(DEBIAN, created_at=0))
    named = {one["template"] for one in described["templates"].values()}
    assert named == {file.name for file in (Path(build.__file__).parent / "templates").iterdir()}
    assert described["templates"]["/etc/hostname"]["when"] == ["start"]
    assert described["templates"]["/root/.ssh/authorized_keys"]["when"] == ["create"]


def test_what_killed_builds_and_imports_left_is_removed_before_the_next(tmp_path: Path) -> None:
    killed = tmp_path / ".building-1234"
    (killed / "rootfs/etc").mkdir(parents=True)
    old, fresh = tmp_path / "debian-12-1.tar.zst", tmp_path / "debian-12-2.tar.zst"
    for file in (old, fresh):
        file.touch()
    yesterday = time.time() - 86400
    os.utime(old, (yesterday, yesterday))
    with build.workplace(tmp_path) as work:
        assert work.is_dir()
        assert not killed.exists()
        assert [file.name for file in tmp_path.glob("*.zst")] == [fresh.name]
    assert not work.exists()


def test_an_unknown_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(build.CannotBuild, match="debian-12"):
        build.build_image("beos-5", tmp_path, mirror=None, progress=lambda _phase, _done: None)


def test_the_builder_dies_with_us_and_leaves_no_mount(tmp_path: Path) -> None:
    argv = build.mmdebstrap(DEBIAN, ARCHIVES, tmp_path)
    assert argv[:4] == ["setpriv", "--pdeathsig", "KILL", "--"]
    assert {"--mount", "--pid", "--kill-child"} <= set(argv)
    assert argv[-2].endswith(" bookworm main")
