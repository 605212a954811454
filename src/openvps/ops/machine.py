"""The machine as OpenVPS needs it: system users, folders, kernel limits and the ids that servers' users map to."""

import fcntl
import os
import pwd
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from openvps.core.settings import Settings
from openvps.ops.run import run

DATABASE_USER, API_USER, WORKER_USER = "openvps-db", "openvps-api", "openvps-worker"
CONSOLE_USER = "openvps-console"
ETC = Path("/etc")
GROUP = "openvps"  # who may reach the embedded database's socket
FIRST_SUBID, SUBIDS = 1_000_000, 1_000_000_000  # 15,000 servers with 65,536 ids each (security.idmap.isolated)
LEAST_SUBIDS = 65536 * 100
KERNEL_LIMITS = {
    # Each server's root is one user of the host's; the distribution's values are for one desktop.
    "fs/inotify/max_user_instances": 1024,
    "fs/inotify/max_user_watches": 1048576,
    "kernel/keys/maxkeys": 2000,
    "kernel/keys/maxbytes": 2000000,
}


class NotReady(Exception):
    """OpenVPS can't run on this machine as it stands; the text says what to do."""


def require_root() -> None:
    """Raise NotReady unless we are root."""
    if os.geteuid() != 0:
        raise NotReady("preparing a machine needs root; run it again with sudo")


def ensure_users() -> None:
    """Make the users that our processes run as, where they are missing."""
    with _alone(ETC):
        run(["groupadd", "--system", "--force", GROUP])
        for user in (DATABASE_USER, API_USER, WORKER_USER, CONSOLE_USER):
            try:
                pwd.getpwnam(user)
            except KeyError:
                run(
                    [
                        *("useradd", "--system", "--user-group", "--groups", GROUP, "--no-create-home"),
                        *("--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", user),
                    ]
                )


def ensure_folders(settings: Settings) -> None:
    """Make the data folder and those within, each with its owner. Raises NotReady where others can't get in."""
    data = settings.data_dir
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o755)
    for parent in data.resolve().parents:
        if not parent.stat().st_mode & 0o001:
            raise NotReady(
                f"{parent} is closed to other users: open it (chmod o+x) or set OPENVPS_DATA_DIR elsewhere"
            )
    for path, user, group, mode in (
        (data / "log", "root", "root", 0o750),
        (data / "images", "root", "root", 0o755),
        (data / "tls", "root", API_USER, 0o750),
        (data / "cells", "root", WORKER_USER, 0o750),
        (data / "console", CONSOLE_USER, API_USER, 0o750),  # its socket: the api's way to terminals
        (data / "postgres", DATABASE_USER, GROUP, 0o750),
        (settings.postgres_socket_dir, DATABASE_USER, GROUP, 0o750),
    ):
        path.mkdir(exist_ok=True)
        shutil.chown(path, user, group)
        path.chmod(mode)


def ensure_kernel_limits() -> list[str]:
    """Raise the limits that many servers share; returns what couldn't be raised."""
    refused: list[str] = []
    for name, wanted in KERNEL_LIMITS.items():
        file = Path("/proc/sys", name)
        try:
            if int(file.read_text()) < wanted:
                file.write_text(str(wanted))
        except OSError as error:
            refused.append(f"{name.replace('/', '.')}: {error.strerror}")
    return refused


def ensure_subids(etc: Path = ETC) -> bool:
    """Give root enough subordinate ids for isolated maps; returns whether a file was changed.

    What is there stays: containers may stand on it.
    """
    with _alone(etc):
        return _give_subids(etc)


def _give_subids(etc: Path) -> bool:
    changed = False
    for file in (etc / "subuid", etc / "subgid"):
        lines = file.read_text().splitlines() if file.exists() else []
        ranges = [_range(line) for line in lines if line.count(":") == 2]  # noqa: PLR2004 -- user:first:count
        if any(user in {"root", "0"} and count >= LEAST_SUBIDS for user, _, count in ranges):
            continue
        first = max([FIRST_SUBID, *(start + count for _, start, count in ranges)])
        fresh = file.with_name(f".{file.name}.openvps")
        fresh.write_text("\n".join([*lines, f"root:{first}:{SUBIDS}", ""]))
        fresh.chmod(0o644)
        fresh.rename(file)
        changed = True
    return changed


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Have another installation of ours on this machine wait: it looks for the same users and ids."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _range(line: str) -> tuple[str, int, int]:
    user, first, count = line.split(":")
    return user, int(first), int(count)
