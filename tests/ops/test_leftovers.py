"""What is taken away with an engine, while other engines' servers come and go."""

import threading
from pathlib import Path

import pytest

from openvps.ops import leftovers


def test_a_projects_control_groups_go_while_others_come_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "CGROUPS", tmp_path)
    over = threading.Event()

    def others() -> None:
        while not over.is_set():
            for number in range(50):
                (tmp_path / "cpu" / f"lxc.payload.other_{number}" / "init").mkdir(parents=True, exist_ok=True)
            for number in range(50):
                (tmp_path / "cpu" / f"lxc.payload.other_{number}" / "init").rmdir()
                (tmp_path / "cpu" / f"lxc.payload.other_{number}").rmdir()

    thread = threading.Thread(target=others)
    thread.start()
    try:
        for _ in range(300):
            ours = tmp_path / "cpu" / "lxc.payload.mine_vps-1"
            (ours / "system.slice" / "ssh").mkdir(parents=True)
            leftovers.remove_cgroups("mine")
            assert not ours.exists()
    finally:
        over.set()
        thread.join()
