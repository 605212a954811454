"""A purge of the project in the engine, also while the engine is at work there."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from lab import Lab
from openvps.core.settings import Settings
from openvps.engine.incus import open_engine
from openvps.engine.protocol import EngineError, MachineSpec
from openvps.ops import incus_project
from openvps.ops.incus_rest import Incus
from patience import is_busy, until
from pytest_process import NUMBER
from tiny_image import build_tiny_image

pytestmark = [pytest.mark.live, pytest.mark.anyio]


async def test_a_machine_that_is_being_made_is_waited_for(lab: Lab, settings: Settings, tmp_path: Path) -> None:
    """As a worker leaves it that was told to end: the engine goes on."""
    named = settings.model_copy(update={"storage_source": lab.pool})
    socket, image = Path(lab.socket), tmp_path / "slow.tar"
    incus_project.ensure(socket, named)
    await asyncio.to_thread(build_tiny_image, image, f"purged {NUMBER}", padding_mib=200)
    engine = open_engine(socket, named.project, lab.pool)
    fingerprint = await until(lambda: engine.add_image(image))
    making = asyncio.create_task(
        engine.create(MachineSpec("purged", fingerprint, 1, 128, 1, "purged", addresses=(), nic=""))
    )
    while not await is_busy(engine, "purged"):
        assert not making.done()
    await asyncio.to_thread(incus_project.remove, socket, named)
    with contextlib.suppress(EngineError):
        await making
    await engine.close()
    with Incus(socket) as incus:
        assert incus.find(f"/1.0/projects/{named.project}") is None
        assert incus.find(f"/1.0/storage-pools/{lab.pool}") is not None, "which we didn't make"
