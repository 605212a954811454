"""Our project and storage pool in the engine: made once, found again, removed by a purge."""

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

from openvps.core.settings import Settings
from openvps.engine.incus import MADE, PROJECT
from openvps.ops.incus_rest import Incus, IncusFailed
from openvps.ops.machine import NotReady
from openvps.ops.run import run

GB = 10**9
LEAST_GB = 5
SHUTDOWN_S = 30
BUSY_S, BUSY_LOOK_S = 120, 0.5


def ensure(socket: Path, settings: Settings) -> str:
    """Make the project and the storage pool where they are missing; returns the pool's name. Raises NotReady."""
    with Incus(socket) as incus:
        if incus.find(f"/1.0/projects/{settings.project}") is None:
            project = {"name": settings.project, "description": "OpenVPS", "config": PROJECT}
            incus.do("POST", "/1.0/projects", project)
        return _pool(incus, settings, socket.parent)


def pool_name(settings: Settings) -> str:
    """Return the name of the pool that servers' disks are in."""
    source = settings.storage_source
    return source if source and not source.startswith("/") else settings.project


def running(socket: Path, settings: Settings, *, timeout_s: float = 60) -> list[str]:
    """Return the names of the servers' machines that run; none where our project isn't there. Raises IncusFailed."""
    with Incus(socket, timeout_s=timeout_s) as incus:
        if incus.find(f"/1.0/projects/{settings.project}") is None:
            return []
        found = incus.get("/1.0/instances", project=settings.project, recursion="1")
        return [one["name"] for one in found if one["status"] == "Running"]


def stop_all(socket: Path, settings: Settings, *, force: bool = False) -> None:
    """Shut all servers' machines down at once, and cut those that don't; forced, cut them right away."""
    for grace_s in (0,) if force else (SHUTDOWN_S, 0):
        _set_state(socket, settings, running(socket, settings), "stop", grace_s)


def start(socket: Path, settings: Settings, names: list[str]) -> None:
    """Start machines that are stopped; those that are gone are skipped."""
    _set_state(socket, settings, names, "start", 0)


def remove(socket: Path, settings: Settings) -> None:
    """Remove the servers' machines, images, project and pool. What we didn't make stays, but for our machines.

    Raises IncusFailed.
    """
    ours = {"project": settings.project}
    with Incus(socket) as incus:
        project = incus.find(f"/1.0/projects/{settings.project}")
        if project is None:
            return
        _remove_machines(incus, socket, settings)
        for path in incus.get("/1.0/images", **ours):
            incus.do("DELETE", path.partition("?")[0], **ours)
        if MADE in project["config"]:
            incus.do("DELETE", f"/1.0/projects/{settings.project}")
        # By our own name: a pool that the settings name may be another installation's, which made it.
        pool = incus.find(f"/1.0/storage-pools/{settings.project}")
        if pool and MADE in pool["config"]:
            incus.do("DELETE", f"/1.0/storage-pools/{settings.project}")


def _remove_machines(incus: Incus, socket: Path, settings: Settings) -> None:
    """Cut off and delete every machine; one on which the engine still works at what a worker began is waited for."""
    end = time.monotonic() + BUSY_S
    while True:
        stop_all(socket, settings, force=True)
        failure: IncusFailed | None = None
        for path in incus.get("/1.0/instances", project=settings.project):
            try:
                incus.do("DELETE", path.partition("?")[0], project=settings.project)
            except IncusFailed as error:
                failure = error
        if failure is None:
            return
        if time.monotonic() > end:
            raise failure
        time.sleep(BUSY_LOOK_S)


def _set_state(socket: Path, settings: Settings, names: list[str], action: str, timeout_s: int) -> None:
    """Change many machines' state together; a failure of one is the next look's to see."""
    body = {"action": action, "timeout": timeout_s, "force": action == "stop" and not timeout_s}
    with Incus(socket) as incus:
        begun: list[str | None] = []
        for name in names:
            with contextlib.suppress(IncusFailed):
                begun.append(incus.begin("PUT", f"/1.0/instances/{name}/state", body, project=settings.project))
        for operation in filter(None, begun):
            with contextlib.suppress(IncusFailed):
                incus.wait(operation)


def _pool(incus: Incus, settings: Settings, place: Path) -> str:
    name = pool_name(settings)
    if incus.find(f"/1.0/storage-pools/{name}") is not None:
        return name
    if settings.storage_source == name:
        raise NotReady(f"there is no storage pool {name} (OPENVPS_STORAGE_SOURCE); a disk begins with /dev/")
    drivers = {one["Name"] for one in incus.get("/1.0")["environment"]["storage_supported_drivers"]}
    if settings.storage_driver not in drivers:
        raise NotReady(
            f"the engine can't do {settings.storage_driver} pools here (OPENVPS_STORAGE_DRIVER); it can do "
            + ", ".join(sorted(drivers))
        )
    config = {**_source(settings, place), MADE: "made"}
    pool: dict[str, Any] = {"name": name, "driver": settings.storage_driver, "config": config}
    try:
        incus.do("POST", "/1.0/storage-pools", pool)
    except IncusFailed as error:
        with contextlib.suppress(IncusFailed):  # half-made ones are in the list, and in the way next time
            incus.do("DELETE", f"/1.0/storage-pools/{name}")
        raise NotReady(
            f"no {settings.storage_driver} pool could be made: {error}; name a disk with OPENVPS_STORAGE_SOURCE, "
            "or set OPENVPS_STORAGE_DRIVER=dir (which enforces no disk size)"
        ) from error
    return name


def _source(settings: Settings, place: Path) -> dict[str, str]:
    """Return where the pool's data goes: the disk that is named, or a sparse file beside the daemon's own."""
    if disk := settings.storage_source:
        if run(["wipefs", "--no-act", "--noheadings", disk]).strip():
            raise NotReady(f"{disk} isn't empty; if nothing on it is needed: wipefs --all {disk}")
        return {"source": disk}
    if settings.storage_driver == "dir":
        return {}
    size_gb = settings.storage_size_gb or shutil.disk_usage(place).free * 4 // 5 // GB
    if size_gb < LEAST_GB:
        raise NotReady(f"{place} has no room for a storage pool of {LEAST_GB} GB; free some, or name a disk")
    return {"size": f"{size_gb}GB"}
