"""The store of backups: a restic repository, in a folder or in S3-compatible storage.

restic encrypts and authenticates all that it writes with the repository's key, compresses, and stores what is there
already once. Each backup is one file, `server.tar`, tagged with the backup's name: whoever has the key gets it back
with `restic dump`, without us.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openvps.core.settings import Settings

FILE = "server.tar"
RUN_BY = ("setpriv", "--pdeathsig", "KILL", "restic")
PATH = "/usr/local/bin:/usr/bin:/bin"
SAID_MOST = 2000
NONE_THERE = "is there a repository"


class StoreFailed(Exception):
    """restic couldn't do it; the text is what it said, for the log.

    StoreFailed
    ├── StoreAway     it can't be reached
    ├── StoreRefuses  it doesn't take our credentials
    ├── StoreFull     there is no room left
    ├── StoreBusy     somebody else has it for the moment
    └── StoreDamaged  what is there isn't what was written
    """

    told = "The store of backups failed."


class StoreAway(StoreFailed):
    """The store can't be reached."""

    told = "The store of backups can't be reached."


class StoreRefuses(StoreFailed):
    """The store doesn't take our credentials."""

    told = "The store of backups refuses the credentials that OpenVPS has for it."


class StoreFull(StoreFailed):
    """The store has no room left."""

    told = "The store of backups is full."


class StoreBusy(StoreFailed):
    """Somebody else has the store for the moment."""

    told = "The store of backups is in use."


class StoreDamaged(StoreFailed):
    """What is in the store isn't what was written, or isn't there, or another key is needed."""

    told = "The store of backups is damaged."


# What restic says, from 0.14 on; the first that matches.
MEANINGS: tuple[tuple[type[StoreFailed], tuple[str, ...]], ...] = (
    (StoreFull, ("no space left", "disk quota exceeded", "storagefull", "quotaexceeded")),
    (StoreBusy, ("already locked",)),
    (StoreRefuses, ("does not match the signature", "signaturedoesnotmatch", "access key id you provided")),
    (StoreRefuses, ("invalidaccesskeyid", "access denied", "accessdenied", "403 forbidden")),
    (
        StoreDamaged,
        (
            "verification failed",
            "invalid data returned",
            "is damaged",
            "not found in repository",
            "hash does not match",
            "could not load snapshot",
            "error loading snapshot",
            "wrong password or no key found",
            "unmarshal: ",
            "scrypt",
            "load(<data/",
            "no matching id found",
        ),
    ),
    (StoreAway, (NONE_THERE, "connection refused", "dial tcp", "no such host", "timeout", "unable to open config")),
    (StoreAway, ("not a directory", "permission denied", "input/output error", "stale file handle")),
)


def failure(said: str) -> StoreFailed:
    """Return the error that restic's words mean."""
    low = said.lower()
    kind = next((kind for kind, texts in MEANINGS if any(text in low for text in texts)), StoreFailed)
    return kind(said)


@dataclass(frozen=True)
class Stored:
    """A backup in the store: its id there."""

    id: str


def folder(config: Settings) -> Path:
    """Return the folder of the key and, if nothing else is set, of the store."""
    return config.data_dir / "backups"


class Store:
    """One restic repository."""

    def __init__(self, config: Settings, *, fresh: bool = False, run_by: Sequence[str] = RUN_BY) -> None:
        """Speak to the store of these settings.

        `fresh`: nothing that was read before is taken for it. `run_by`: the words that restic is run by.
        """
        self._run_by = run_by
        self._fresh = fresh
        own = folder(config)
        self._env = {
            "PATH": PATH,
            "RESTIC_REPOSITORY": config.backup_store or str(own / "store"),
            "RESTIC_PASSWORD_FILE": str(own / "key"),
            "RESTIC_CACHE_DIR": str(own / "cache"),
        }
        if config.backup_credentials is not None:
            self._env["AWS_SHARED_CREDENTIALS_FILE"] = str(config.backup_credentials)

    async def open(self, *, first: bool) -> None:
        """Make the repository if there is none, and this is the `first` backup. Raises StoreFailed.

        Later on one that isn't there is away: behind a mount that failed, a new one would hide that.
        """
        try:
            await self._run("cat", "config")
        except StoreAway as error:
            if not first or NONE_THERE not in str(error).lower():
                raise
            await self._run("init")

    async def find(self, tag: str, which: str | None = None) -> Stored | None:
        """Return the newest that is stored under a tag, or the one whose id is `which`. Raises StoreFailed."""
        found = [one for one in await self._under(tag) if which is None or one.id.startswith(which)]
        return found[-1] if found else None

    async def _under(self, tag: str) -> list[Stored]:
        """Return all that is stored under a tag, the newest last."""
        found: list[dict[str, Any]] = json.loads(await self._run("snapshots", "--json", "--tag", tag)) or []
        return [Stored(one["id"]) for one in sorted(found, key=lambda one: one["time"])]

    async def write(self, tag: str, host: str, feed: Callable[[int], Awaitable[None]], *, file: str = FILE) -> Stored:
        """Store what `feed` writes into a file descriptor, as it comes; all of it or, unless we die, nothing.

        restic takes our death for the end of the file, where it doesn't die with us at once: that `feed` came to its
        end has to be noted by it. Raises StoreFailed and feed's.
        """
        reading, writing = os.pipe()
        try:
            argv = ("backup", "--json", "--quiet", "--stdin", "--stdin-filename", file, "--tag", tag, "--host", host)
            process = await self._start(argv, stdin=reading)
        finally:
            os.close(reading)
        try:
            await feed(writing)
        except BrokenPipeError as error:  # restic ended first, and says why
            await _ended(process)
            raise StoreFailed("restic ended before it had read all") from error
        except BaseException:
            # Ended before the pipe is: an end of the file would be taken for the whole.
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        finally:
            os.close(writing)
        said = await _ended(process)
        return Stored(json.loads(said.splitlines()[-1])["snapshot_id"])

    @asynccontextmanager
    async def read(
        self, tag: str, which: str | None = None, *, file: str = FILE
    ) -> AsyncGenerator[tuple[int, Callable[[], Awaitable[None]]]]:
        """Yield a file descriptor to read a backup from, and what then raises StoreFailed if it wasn't whole.

        The newest under the tag, or the one whose id is `which`.
        """
        if (stored := await self.find(tag, which)) is None:
            raise StoreDamaged(f"{tag} isn't in the store")
        reading, writing = os.pipe()
        try:
            process = await self._start(("dump", stored.id, file), stdin=asyncio.subprocess.DEVNULL, stdout=writing)
        finally:
            os.close(writing)

        async def whole() -> None:
            await _ended(process)

        try:
            yield reading, whole
        finally:
            os.close(reading)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def forget(self, tag: str) -> None:
        """Remove all that is stored under a tag; the data stay until `prune`. Raises StoreFailed."""
        if not (stored := await self._under(tag)):
            return
        await self._run("unlock")  # of a worker that died
        await self._run("forget", *(one.id for one in stored))

    async def prune(self) -> None:
        """Remove the data that nothing stored needs any more. Raises StoreFailed."""
        await self._run("unlock")
        await self._run("prune")

    async def thin(self, tag: str, *, days: int) -> None:
        """Remove what is stored under a tag but for the newest of each of the last days. Raises StoreFailed."""
        await self._run("forget", "--tag", tag, "--group-by", "", "--keep-daily", str(days))

    async def _run(self, *words: str) -> str:
        return await _ended(await self._start(words, stdin=asyncio.subprocess.DEVNULL))

    async def _start(
        self, words: Sequence[str], *, stdin: int, stdout: int = asyncio.subprocess.PIPE
    ) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self._run_by,
                *(("--no-cache",) if self._fresh else ()),
                *words,
                stdin=stdin,
                stdout=stdout,
                stderr=asyncio.subprocess.PIPE,
                env=self._env,
            )
        except FileNotFoundError as error:
            raise StoreFailed("restic isn't installed") from error


async def _ended(process: asyncio.subprocess.Process) -> str:
    """Wait for restic, and return what it said. Raises StoreFailed; a cancelled wait ends it."""
    try:
        said, complaint = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    if process.returncode:
        raise failure(f"restic: exit code {process.returncode}: {complaint.decode(errors='replace')[-SAID_MOST:]}")
    return (said or b"").decode()
