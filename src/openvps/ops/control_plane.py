"""The control plane's own backup: the database and our keys, into the same store as servers' disks.

One tarball of few files, encrypted and stored as everything there. It can't hold the store's own key: a copy of that
has to be kept elsewhere, or nothing of all this opens again.
"""

import asyncio
import contextlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import psycopg

from openvps.compute.backups.store import Store, StoreBusy, StoreFailed, folder
from openvps.core import settings
from openvps.core.clock import iso, now
from openvps.core.settings import Settings
from openvps.engine.incus.reach import own_files
from openvps.ops import dump, lock, machine, postgres
from openvps.ops.accounts import talk
from openvps.ops.machine import WORKER_USER, NotReady
from openvps.ops.processes import Program
from openvps.ops.run import ProgramFailed
from openvps.ops.up import environment

TAG = "control-plane"
FILE = "control-plane.tar"
DATABASE, SETTINGS, ABOUT = "database.dump", "settings.env", "about.json"
KEPT_DAYS = 31


def backup() -> int:
    """Store the control plane as it is now, `openvps up` running or not; returns the exit code."""
    config = settings.load()
    try:
        machine.require_root()
        with tempfile.TemporaryDirectory(prefix="control-plane-", dir=config.data_dir) as own:  # root's alone
            talk(f"openvps: stored as {asyncio.run(_store(config, Path(own)))}")
    except (NotReady, OSError, ProgramFailed, StoreFailed, psycopg.Error) as error:
        return _refuse(f"{error}; nothing was stored")
    return 0


def restore(which: str | None) -> int:
    """Put database and keys back as they were stored, while no `openvps up` runs; returns the exit code."""
    config = settings.load()
    try:
        machine.require_root()
        if not (folder(config) / "key").exists():
            raise NotReady(f"the store's key is missing: put your copy of it at {folder(config) / 'key'}")  # noqa: TRY301 -- all that goes wrong is told alike
        with lock.held(config), tempfile.TemporaryDirectory(prefix="control-plane-", dir=config.data_dir) as own:
            machine.ensure_users()
            machine.ensure_folders(config)
            about = asyncio.run(_fetch(config, which, Path(own)))
            child = postgres.start(config) if config.database_url is None else None
            try:
                dump.put_back(config.conninfo("owner"), Path(own) / DATABASE)
            finally:
                if child:
                    child.stop()
            _put_keys(config, Path(own))
    except (NotReady, OSError, ProgramFailed, StoreFailed, tarfile.TarError) as error:
        return _refuse(f"{error}; the database is as it was")
    talk(f"openvps: the control plane is as of {about['at']}. Next: openvps up, then openvps audit")
    return 0


async def _store(config: Settings, own: Path) -> str:
    database = own / DATABASE
    dump.write(config, database)
    (own / SETTINGS).write_text("".join(f"{name}={value}\n" for name, value in environment(config).items()))
    (own / ABOUT).write_text(json.dumps({"at": iso(now()), "version": version("openvps")}))
    files = {name: own / name for name in (SETTINGS, DATABASE)}
    files |= {f"cells/{file.name}": file for file in own_files(config) if file.exists()}
    files[ABOUT] = own / ABOUT  # the last: without it the tarball was cut off
    store = _as_worker(config)
    await store.open(first=not _any_stored(config))
    stored = await store.write(TAG, config.project, _tarball(files), file=FILE)
    with contextlib.suppress(StoreBusy):  # a backup is being made: another time
        await store.thin(TAG, days=KEPT_DAYS)
    return stored.id


def _tarball(files: Mapping[str, Path]) -> Callable[[int], Awaitable[None]]:
    """Return what writes files into the store's pipe, as one tarball."""

    def write(out: int) -> None:
        with os.fdopen(os.dup(out), "wb") as sink, tarfile.open(fileobj=sink, mode="w|") as tar:
            for name, file in files.items():
                tar.add(file, name)

    async def feed(out: int) -> None:
        await asyncio.to_thread(write, out)

    return feed


async def _fetch(config: Settings, which: str | None, own: Path) -> dict[str, str]:
    """Read a stored control plane into a folder of root's: the files that we know, and no others."""
    wanted = {ABOUT, SETTINGS, DATABASE, *(f"cells/{file.name}" for file in own_files(config))}

    def read(file: int) -> None:
        with os.fdopen(os.dup(file), "rb") as source, tarfile.open(fileobj=source, mode="r|") as tar:
            for entry in tar:
                content = tar.extractfile(entry) if entry.name in wanted and entry.isreg() else None
                if content:
                    with (own / Path(entry.name).name).open("wb") as out:
                        shutil.copyfileobj(content, out)

    async with _as_worker(config).read(TAG, which, file=FILE) as (file, ended):
        await asyncio.to_thread(read, file)
        await ended()
    return json.loads((own / ABOUT).read_text())


def _put_keys(config: Settings, own: Path) -> None:
    """Put our certificate and its key where remote cells know us by them, and the settings where they can be read."""
    (own / SETTINGS).chmod(0o600)
    (own / SETTINGS).replace(config.data_dir / "restored-settings.env")
    certificate, key = own_files(config)
    if not (own / certificate.name).exists() or key.exists():
        return
    for file, mode, user in ((key, 0o400, WORKER_USER), (certificate, 0o644, "root")):
        shutil.copyfile(own / file.name, file)
        shutil.chown(file, user, WORKER_USER)
        file.chmod(mode)


def _as_worker(config: Settings) -> Store:
    """Return the store as the worker's user sees it: it owns what is there, and is to read what we write."""
    return Store(config, run_by=Program("restic", ("restic",), user=WORKER_USER).command())


def _any_stored(config: Settings) -> bool:
    with psycopg.connect(config.conninfo("owner")) as conn:
        return conn.execute("SELECT 1 FROM backup WHERE status = 'completed' LIMIT 1").fetchone() is not None


def _refuse(text: str) -> int:
    talk(f"openvps: {text}")
    return 1
