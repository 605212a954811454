"""A stage for faults: API and converge in this process, a real PostgreSQL, a real engine that fails on request."""

from collections.abc import AsyncGenerator
from itertools import count
from pathlib import Path

import pytest
from stage import IDS, Stage

from factories import World
from lab import Lab
from openvps.compute.backups import store
from openvps.engine.faulty import Faulty
from openvps.engine.protocol import Engine

RUNS = count()


@pytest.fixture(autouse=True)
def _settings_of_the_stage(monkeypatch: pytest.MonkeyPatch, worker_id: str, tmp_path: Path, lab: Lab) -> None:
    """Give each of pytest's processes addresses and interfaces of its own, also beside other labs; a short grace."""
    letters = lab.project[-3:]
    number = 100 + int(worker_id.removeprefix("gw") or 0) if worker_id != "master" else 100
    monkeypatch.setenv("OPENVPS_IPV4_POOL", f"10.{64 + sum(letters.encode()) % 64}.{number}.0/24")
    monkeypatch.setenv("OPENVPS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("OPENVPS_NIC_PREFIX", f"f{letters}")
    monkeypatch.setenv("OPENVPS_STOP_GRACE_S", "2")


@pytest.fixture
async def stage(
    _settings_of_the_stage: None, world: World, engine: Engine, tiny_image: str, lab: Lab, worker_id: str
) -> AsyncGenerator[Stage]:
    process = 1 + int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
    stage = Stage(world, Faulty(engine), tiny_image, lab, first_id=10_000 * (process + 10) + IDS * next(RUNS))
    await stage.prepare()
    yield stage
    await stage.clear()


@pytest.fixture
def folder(stage: Stage) -> Path:
    """Return the folder of a store of backups that is to be made, with its key."""
    folder = store.folder(stage.world.config)
    folder.mkdir()
    (folder / "key").write_text("a key of the tests\n")
    return folder
