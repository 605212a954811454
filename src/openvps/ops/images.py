"""`openvps image`: what new servers start from; servers made from an older image keep theirs.

Images are built on this machine and imported into every cell; a killed build or import leaves nothing offered.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy.exc import OperationalError

from openvps.compute.locations import queries as locations
from openvps.compute.systems import queries as systems
from openvps.core import settings
from openvps.core.db import Database
from openvps.core.settings import Settings
from openvps.engine.incus.reach import open_cell
from openvps.engine.protocol import Away, EngineError
from openvps.ops.catalog import SYSTEMS
from openvps.ops.image.build import CannotBuild, build_image
from openvps.ops.image.sources import NoSource
from openvps.ops.run import ProgramFailed

FIRST = "debian-12"
SLUGS = {str(one["slug"]): int(str(one["id"])) for one in SYSTEMS}
PHASES = ("packages", "configuring", "packing", "importing")


def ensure(config: Settings) -> None:
    """Have an image of Debian 12, and of Ubuntu where an archive was set; what is there is kept.

    Raises CannotBuild, NoSource, ProgramFailed, EngineError.
    """
    wanted = [FIRST] + (["ubuntu-22.04"] if config.ubuntu_mirror else [])
    offered = {one.system for one in asyncio.run(_listed(config)) if one.retired_at is None}
    for system in wanted:
        if system not in offered:
            _build(config, system)


def build(system: str) -> int:
    """Build and offer an image; returns the exit code."""
    if system not in SLUGS:
        return _refuse(f"{system}: unknown system; there are {', '.join(SLUGS)}")
    try:
        fingerprint = _build(settings.load(), system)
    except (CannotBuild, NoSource, ProgramFailed, EngineError) as error:
        return _refuse(str(error))
    print(fingerprint)  # noqa: T201 -- the command's result
    return 0


def list_(output: Literal["text", "json"]) -> int:
    """Print every image, newest first."""
    rows = asyncio.run(_listed(settings.load()))
    if output == "json":
        shown = [
            {
                "system": one.system,
                "cell": one.cell,
                "fingerprint": one.fingerprint,
                "built_at": one.built_at.isoformat(),
                "retired_at": one.retired_at.isoformat() if one.retired_at else None,
            }
            for one in rows
        ]
        print(json.dumps(shown, indent=2))  # noqa: T201 -- the command's result
        return 0
    table = Table("SYSTEM", "CELL", "FINGERPRINT", "BUILT", "STATE", box=None)
    newest: set[tuple[str, str]] = set()
    for one in rows:
        key = (one.system, one.cell)
        state = "retired" if one.retired_at else "older" if key in newest else "used by new servers"
        if not one.retired_at:
            newest.add(key)
        table.add_row(one.system, one.cell, one.fingerprint[:12], f"{one.built_at:%Y-%m-%d %H:%M}", state)
    Console().print(table)
    return 0


def retire(fingerprint: str) -> int:
    """Offer an image no longer, named by the beginning of its fingerprint; returns the exit code."""
    return asyncio.run(_retire(settings.load(), fingerprint))


@asynccontextmanager
async def _rows(config: Settings) -> AsyncGenerator[Database]:
    """Lend the database. Raises ConnectionError, in words, where it doesn't answer."""
    database = Database(config.conninfo("owner"))
    try:
        yield database
    except OperationalError as error:
        raise ConnectionError("the database doesn't answer: is `openvps up` running, with these settings?") from error
    finally:
        await database.close()


async def _listed(config: Settings) -> list[systems.ImageRow]:
    async with _rows(config) as database, database.begin() as conn:
        return await systems.images(conn)


async def _retire(config: Settings, fingerprint: str) -> int:
    async with _rows(config) as database, database.begin() as conn:
        rows = [one for one in await systems.images(conn) if one.retired_at is None]
        named = {one.fingerprint for one in rows if one.fingerprint.startswith(fingerprint)}
        if len(named) != 1:
            return _refuse(f"{fingerprint}: {len(named)} images begin so; see `openvps image list`")
        system = next(one.system for one in rows if one.fingerprint in named)
        await systems.retire_image(conn, named.pop())
        left = [one for one in await systems.images(conn) if one.system == system and not one.retired_at]
    if not left:
        _say(f"{system} has no image now, so no new server can have it; `openvps image build {system}` makes one")
    return 0


def _build(config: Settings, system: str) -> str:
    folder = config.data_dir / "images"
    folder.mkdir(mode=0o755, exist_ok=True)
    mirror = config.ubuntu_mirror if system.startswith("ubuntu") else config.debian_mirror
    with _progress(f"image {system}") as progress:
        file = build_image(system, folder, mirror=mirror, progress=progress)
        try:
            progress("importing", 0)
            fingerprint = asyncio.run(_offer(config, file, SLUGS[system]))
            progress("importing", 1)
        finally:
            file.unlink()
    return fingerprint


async def _offer(config: Settings, file: Path, system_id: int) -> str:
    """Import a file into every cell, then offer it there: in this order, so that what is offered is there."""
    fingerprint = ""
    async with _rows(config) as database:
        async with database.begin() as conn:
            cells = await locations.cells(conn)
        for cell in cells:
            engine = open_cell(config, cell)
            try:
                fingerprint = await engine.add_image(file)
            except Away as error:
                if cell.socket is not None:
                    raise
                _say(
                    f"{cell.name} is away, so it didn't get the image; later: openvps cell edit {cell.name} ({error})"
                )
                continue
            finally:
                await engine.close()
            async with database.begin() as conn:
                await systems.add_image(conn, cell_id=cell.id, system_id=system_id, fingerprint=fingerprint)
    return fingerprint


@contextmanager
def _progress(title: str) -> Generator[Callable[[str, float], None]]:
    """Show phases as a bar to a person, and as a line each to a log."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        said: set[str] = set()

        def say(phase: str, _done: float) -> None:
            if phase not in said:
                said.add(phase)
                console.print(f"{title}: {phase} ({PHASES.index(phase) + 1} of {len(PHASES)})", markup=False)

        yield say
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=1.0)

        def show(phase: str, done: float) -> None:
            bar.update(task, description=f"{title}: {phase}", completed=done)

        yield show


def _say(text: str) -> None:
    print(f"openvps: {text}", file=sys.stderr)  # noqa: T201 -- talk goes to standard error


def _refuse(text: str) -> int:
    _say(text)
    return 1
