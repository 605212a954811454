"""What every test may have: a database of its own, the API in this process, and a whole OpenVPS that runs."""

import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator, Iterator
from itertools import count
from pathlib import Path

import httpx2
import hypothesis
import psycopg
import pytest

import lab as whole
from factories import World
from openvps import migrations
from openvps.app import create_app
from openvps.core import settings
from openvps.core.db import Database
from openvps.engine.incus import open_engine
from openvps.engine.protocol import Engine
from patience import until
from throwaway_postgres import throwaway_postgres
from tiny_image import build_tiny_image

NUMBERS = count()


hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine proves nothing wrong
hypothesis.settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder in which pytest's processes leave word of the lab."""
    if not hasattr(config, "workerinput") and whole.STATE not in os.environ:
        os.environ[whole.STATE] = tempfile.mkdtemp(prefix="openvps-lab-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the lab, in pytest's main process only."""
    if not hasattr(config, "workerinput") and "OPENVPS_TEST_KEEP_LAB" not in os.environ:
        state = Path(os.environ[whole.STATE])
        whole.end(state)
        shutil.rmtree(state)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the lab complained of last beside a failure: its logs are gone when the session ends."""
    report = yield
    running = getattr(item, "funcargs", {}).get("lab")
    if report.failed and isinstance(running, whole.Lab) and running.data_dir:
        report.sections.append(("the lab's last complaints", "\n".join(running.complaints(15))))
    return report


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def lab() -> whole.Lab:
    """Return the running OpenVPS of the live tests."""
    return whole.lab()


@pytest.fixture(scope="session")
def template_url() -> Iterator[str]:
    """Return the URL of a migrated database that others are copied from."""
    with tempfile.TemporaryDirectory(prefix="openvps-tests-") as folder:
        Path(folder).chmod(0o755)
        with throwaway_postgres(Path(folder) / "postgres") as url:
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute("CREATE DATABASE template")
            template = url.replace("/postgres?", "/template?")
            migrations.upgrade(template)
            yield template


@pytest.fixture
def database_url(template_url: str) -> Iterator[str]:
    """Return the URL of a fresh, migrated database."""
    name = f"test_{next(NUMBERS)}"
    admin = template_url.replace("/template?", "/postgres?")
    with psycopg.connect(admin, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template".encode())
    yield template_url.replace("/template?", f"/{name}?")
    with psycopg.connect(admin, autocommit=True) as conn:  # not the first one: a test may restart PostgreSQL
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    database = Database(database_url, pool_size=10)
    yield database
    await database.close()


@pytest.fixture
def config(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[settings.Settings]:
    """Return the settings of an installation on this test's database."""
    monkeypatch.setenv("OPENVPS_DATABASE_URL", database_url)
    monkeypatch.setenv("OPENVPS_CONTAINER_PLANS", "everyone")
    monkeypatch.setenv("OPENVPS_CONFIG", "/nonexistent")
    monkeypatch.setenv("OPENVPS_METRICS_LISTEN", "")  # hundreds of them at once
    settings.load.cache_clear()
    yield settings.load()
    settings.load.cache_clear()


@pytest.fixture
async def world(database: Database, config: settings.Settings) -> AsyncGenerator[World]:
    """Return an installation with one cell that has room, and the API to talk to; no worker runs."""
    app = create_app()
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://api.test/api/v1") as http:
            world = World(database, config, http, app)
            await world.prepare()
            yield world


@pytest.fixture
async def engine(lab: whole.Lab) -> AsyncGenerator[Engine]:
    """Return the lab's real engine."""
    engine = open_engine(Path(lab.socket), lab.project, lab.pool)
    yield engine
    await engine.close()


@pytest.fixture(scope="session")
async def tiny_image(lab: whole.Lab, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    """Import an image of one program into the lab, one for each process of pytest."""
    file = tmp_path_factory.mktemp("image") / "tiny.tar"
    build_tiny_image(file, note=os.environ.get("PYTEST_XDIST_WORKER", ""))
    engine = open_engine(Path(lab.socket), lab.project, lab.pool)
    fingerprint = await until(lambda: engine.add_image(file))
    yield fingerprint
    await until(lambda: engine.delete_image(fingerprint))
    await engine.close()
