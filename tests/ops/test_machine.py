"""The machine's users, ids and folders."""

import grp
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_hex

import pytest

from openvps.core.settings import Settings
from openvps.ops import lock, machine
from openvps.ops.machine import NotReady


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "root:1000000:1000000000\n"),
        ("ada:100000:65536\n", "ada:100000:65536\nroot:1000000:1000000000\n"),
        ("ada:1000000:65536\n", "ada:1000000:65536\nroot:1065536:1000000000\n"),
        ("root:100000:65536\n", "root:100000:65536\nroot:1000000:1000000000\n"),
    ],
)
def test_root_is_given_ids_that_nobody_else_has(tmp_path: Path, before: str, after: str) -> None:
    for name in ("subuid", "subgid"):
        (tmp_path / name).write_text(before)
    assert machine.ensure_subids(tmp_path)
    assert (tmp_path / "subuid").read_text() == after
    assert (tmp_path / "subgid").read_text() == after
    assert not machine.ensure_subids(tmp_path)


def test_users_are_made_once_and_the_api_is_no_admin_of_the_engine() -> None:
    machine.ensure_users()
    machine.ensure_users()
    assert machine.API_USER not in grp.getgrnam("incus-admin").gr_mem


def test_two_that_begin_at_once_on_a_bare_machine_both_have_users_and_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"openvps-{token_hex(4)}" for _ in range(4)]
    for kind, name in zip(("DATABASE", "API", "WORKER", "CONSOLE"), names, strict=True):
        monkeypatch.setattr(machine, f"{kind}_USER", name)
    try:
        with ThreadPoolExecutor() as both:
            for made in [both.submit(machine.ensure_users) for _ in range(2)]:
                made.result()
            gave = [both.submit(machine.ensure_subids, tmp_path) for _ in range(2)]
            assert {one.result() for one in gave} == {True, False}
        for name in names:
            assert machine.GROUP in [grp.getgrgid(one).gr_name for one in os.getgrouplist(name, 0)]
    finally:
        for name in names:
            subprocess.run(["userdel", name], check=False, capture_output=True)


def test_a_data_folder_that_others_cannot_enter_is_refused(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(NotReady, match="is closed to other users"):
        machine.ensure_folders(Settings(data_dir=closed / "data"))


def test_two_installations_cannot_share_a_data_folder(settings: Settings) -> None:
    with lock.held(settings):
        assert lock.holder(settings)
        with pytest.raises(NotReady, match="already runs"), lock.held(settings):
            pass
    assert lock.holder(settings) == 0
