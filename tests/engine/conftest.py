"""A real engine for the tests, and machines that are gone when a test ends."""

import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_image import build_tiny_image
from workshop import Workshop

from openvps.engine.incus import open_engine
from openvps.engine.protocol import Engine


@dataclass(frozen=True)
class Lab:
    """Where the tests' Incus is, from the environment."""

    socket: Path
    project: str
    pool: str
    image: str


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def lab() -> Lab:
    found = {key: os.environ.get(f"OPENVPS_TEST_{key.upper()}", "") for key in Lab.__dataclass_fields__}
    if missing := [f"OPENVPS_TEST_{key.upper()}" for key, value in found.items() if not value]:
        pytest.fail(f"live tests need a real Incus, named by {', '.join(missing)} (script/test sets them)")
    return Lab(Path(found["socket"]), found["project"], found["pool"], found["image"])


@pytest.fixture
async def engine(lab: Lab) -> AsyncGenerator[Engine]:
    engine = open_engine(lab.socket, lab.project, lab.pool)
    yield engine
    await engine.close()


@pytest.fixture(scope="session")
async def tiny_image(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    file = tmp_path_factory.mktemp("image") / "tiny.tar"
    build_tiny_image(file)
    engine = open_engine(lab.socket, lab.project, lab.pool)
    fingerprint = await engine.add_image(file)
    yield fingerprint
    await engine.delete_image(fingerprint)
    await engine.close()


@pytest.fixture
async def workshop(engine: Engine, tiny_image: str) -> AsyncGenerator[Workshop]:
    workshop = Workshop(engine, tiny_image)
    yield workshop
    await workshop.clear()
