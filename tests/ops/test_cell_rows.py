"""Which images a new cell gets, and from whom."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from factories import World
from openvps.compute.locations import queries as locations
from openvps.compute.systems import queries as systems
from openvps.core.settings import Settings
from openvps.engine.protocol import Engine
from openvps.ops import cell_rows

pytestmark = pytest.mark.anyio

OLD, NEW = "a" * 64, "b" * 64


@dataclass
class Images:
    """An engine's images: what it is asked for, it has."""

    asked: list[str] = field(default_factory=list[str])

    async def export_image(self, fingerprint: str, file: Path) -> None:
        self.asked.append(fingerprint)
        await anyio.Path(file).write_text(fingerprint)

    async def add_image(self, file: Path) -> str:
        return await anyio.Path(file).read_text()

    async def close(self) -> None:
        return


async def test_the_newest_image_is_copied_from_its_original_and_a_cell_that_is_away_is_not_asked(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    config = world.config.model_copy(update={"data_dir": tmp_path})
    engines: dict[str, Images] = {}

    def open_cell(_config: Settings, row: Any) -> Engine:
        return cast("Engine", engines.setdefault(row.name, Images()))

    monkeypatch.setattr(cell_rows, "open_cell", open_cell)
    await world.sql("DELETE FROM image")
    cells = {"here": world.cell_id}
    for name in ("copies", "away", "new", "newer"):
        cells[name] = await world.a_remote_cell(name)
    offered = [("here", OLD, 3), ("away", NEW, 1), ("copies", OLD, 3), ("here", NEW, 2), ("copies", NEW, 2)]
    for cell, fingerprint, days in offered:
        await world.sql(
            "INSERT INTO image (cell_id, system_id, fingerprint, built_at)"
            " VALUES (:cell, 3, :it, timestamptz '2026-01-10' - make_interval(days => :days))",
            cell=cells[cell],
            it=fingerprint,
            days=days,
        )
    await world.sql("UPDATE cell SET away_at = now() WHERE name = 'away'")

    async def copied(name: str) -> list[str]:
        async with world.database.begin() as conn:
            row = await locations.cell_named(conn, name)
        assert row is not None
        return await cell_rows.copy_images(world.database, config, row, cast("Engine", Images()))

    assert await copied("new") == []
    assert {name: one.asked for name, one in engines.items()} == {"here": [NEW]}
    # A copy is as old as its original: were it newer, an old image that was copied late would be the newest.
    await world.sql("DELETE FROM image WHERE fingerprint = :it AND cell_id <> :new", it=NEW, new=cells["new"])
    await world.sql(
        "INSERT INTO image (cell_id, system_id, fingerprint, built_at)"
        " VALUES (:cell, 3, :it, timestamptz '2026-01-10')",
        cell=cells["here"],
        it="c" * 64,
    )
    assert await copied("newer") == []
    async with world.database.begin() as conn:
        newest = [one.fingerprint for one in await systems.images(conn) if one.cell == "newer"]
    assert newest == ["c" * 64]
    assert engines["here"].asked == [NEW, "c" * 64]
