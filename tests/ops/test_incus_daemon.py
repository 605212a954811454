"""An Incus daemon of our own, real: started, prepared, found again, purged without a trace."""

import asyncio
from pathlib import Path

import pytest

from openvps.core.settings import Settings
from openvps.engine.incus import open_engine
from openvps.engine.protocol import Inventory
from openvps.ops import down, farewell, incus_daemon, incus_project, leftovers, lock
from openvps.ops.incus_rest import Incus
from openvps.ops.machine import NotReady
from openvps.ops.processes import alive
from openvps.ops.run import run


async def inventory(socket: Path, settings: Settings) -> Inventory:
    engine = open_engine(socket, settings.project, settings.project)
    try:
        return await engine.inventory()
    finally:
        await engine.close()


def test_our_own_daemon_is_started_once_and_a_purge_leaves_nothing(settings: Settings) -> None:
    with lock.held(settings):
        daemon = incus_daemon.ensure(settings)
        assert daemon.own
        assert incus_daemon.ensure(settings) == daemon
        assert incus_project.ensure(daemon.socket, settings) == settings.project
        assert incus_project.ensure(daemon.socket, settings) == settings.project
        with Incus(daemon.socket) as incus:
            pid: int = incus.get("/1.0")["environment"]["server_pid"]
            assert pid == incus_daemon.own_pid(settings)
            assert daemon.socket.stat().st_mode & 0o007 == 0
            root = {"type": "disk", "path": "/", "pool": settings.project}
            machine = {"name": "empty", "source": {"type": "none"}, "devices": {"root": root}}
            incus.do("POST", "/1.0/instances", machine, project=settings.project)
        assert farewell.words(settings) == "OpenVPS has ended; no server runs"
        disk = daemon.socket.parent / "storage-pools" / settings.project / "containers" / f"{settings.project}_lost"
        run(["btrfs", "subvolume", "create", str(disk)])
        assert str(disk) in (asyncio.run(inventory(daemon.socket, settings)).unsearched or ""), "it can't be read"
        run(["btrfs", "subvolume", "delete", str(disk)])
        found = asyncio.run(inventory(daemon.socket, settings))
        assert (found.unsearched, found.unrecorded) == (None, frozenset())
        down.remove(settings)
    assert not settings.data_dir.exists()
    assert not alive(pid)
    assert leftovers.mounts_below(settings.data_dir, Path("/proc/self/mountinfo").read_text()) == []
    assert str(settings.data_dir) not in run(["losetup", "--list"])


def test_a_daemon_that_was_stopped_comes_back_with_what_it_had(settings: Settings) -> None:
    with lock.held(settings):
        daemon = incus_daemon.ensure(settings)
        incus_project.ensure(daemon.socket, settings)
        down.stop(settings)
        assert not incus_daemon.answers(daemon.socket)
        assert incus_daemon.own_pid(settings) == 0
        daemon = incus_daemon.ensure(settings)
        with Incus(daemon.socket) as incus:
            assert incus.find(f"/1.0/projects/{settings.project}")
        down.remove(settings)


def test_a_storage_pool_that_is_named_but_not_there_is_refused(settings: Settings) -> None:
    named = settings.model_copy(update={"storage_source": "elsewhere"})
    with lock.held(named):
        daemon = incus_daemon.ensure(named)
        with pytest.raises(NotReady, match="no storage pool elsewhere"):
            incus_project.ensure(daemon.socket, named)
        down.remove(named)


def test_a_disk_that_is_named_becomes_the_pool_and_one_in_use_is_not_touched(
    settings: Settings, tmp_path: Path
) -> None:
    disk = tmp_path / "disk.img"
    with disk.open("wb") as file:
        file.truncate(1 << 30)
    device = run(["losetup", "--find", "--show", str(disk)]).strip()
    named = settings.model_copy(update={"storage_source": device})
    try:
        with lock.held(named):
            daemon = incus_daemon.ensure(named)
            assert incus_project.ensure(daemon.socket, named) == named.project
            mount = daemon.socket.parent / "storage-pools" / named.project
            assert run(["findmnt", "--noheadings", "--output", "SOURCE", str(mount)]).strip() == device
            with pytest.raises(NotReady, match="isn't empty"):
                incus_project.ensure(daemon.socket, named.model_copy(update={"project": "other"}))
            down.remove(named)
    finally:
        run(["losetup", "--detach", device])


def test_a_pool_that_is_there_is_used_and_a_purge_leaves_it(settings: Settings) -> None:
    named = settings.model_copy(update={"storage_source": "operators", "storage_driver": "dir"})
    with lock.held(named):
        daemon = incus_daemon.ensure(named)
        with Incus(daemon.socket) as incus:
            incus.do("POST", "/1.0/storage-pools", {"name": "operators", "driver": "dir"})
            assert incus_project.ensure(daemon.socket, named) == "operators"
            incus_project.remove(daemon.socket, named)
            assert incus.find("/1.0/storage-pools/operators")
        down.remove(named)


def test_a_socket_where_nobody_answers_is_refused_at_once(settings: Settings) -> None:
    named = settings.model_copy(update={"incus_socket": settings.data_dir / "nobody"})
    with pytest.raises(NotReady, match="OPENVPS_INCUS_SOCKET"):
        incus_daemon.ensure(named)


def test_a_folder_that_is_not_ours_is_never_removed(settings: Settings) -> None:
    with pytest.raises(NotReady, match="nothing was removed"):
        down.remove(settings)
    assert settings.data_dir.exists()


def test_mounts_are_taken_away_from_the_inside_out() -> None:
    text = (
        "20 1 0:1 / / rw - ext4 x rw\n"
        "21 20 0:2 / /data/a rw - tmpfs x rw\n"
        "22 21 0:3 / /data/a/b\\040c rw - tmpfs x rw\n"
        "23 20 0:4 / /database rw - tmpfs x rw\n"
    )
    assert leftovers.mounts_below(Path("/data"), text) == ["/data/a/b c", "/data/a"]
