"""Machines that are gone when a test ends."""

from collections.abc import AsyncGenerator

import pytest
from workshop import Workshop

from openvps.engine.protocol import Engine


@pytest.fixture
async def workshop(engine: Engine, tiny_image: str) -> AsyncGenerator[Workshop]:
    workshop = Workshop(engine, tiny_image)
    yield workshop
    await workshop.clear()
