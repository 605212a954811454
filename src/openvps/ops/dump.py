"""A dump of the database before its tables change, so that an upgrade can be taken back.

Whole or not there: written beside its name, read through once, then renamed. Without it nothing is migrated.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from openvps import migrations
from openvps.core import settings
from openvps.core.clock import now
from openvps.core.settings import Settings
from openvps.ops import lock, machine, postgres
from openvps.ops.accounts import talk
from openvps.ops.machine import NotReady
from openvps.ops.run import ProgramFailed, run

KEPT = 5
ANEW = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"

# What was made after the dump is still in the engine and in the store, under the numbers that come next: a new server
# of another customer mustn't find it there and take it for its own.
SKIPPED = 100_000
SKIP = f"""DO $$ DECLARE of text; was bigint; BEGIN
    CREATE TABLE IF NOT EXISTS public.skipped_numbers (of text NOT NULL, first bigint NOT NULL, last bigint NOT NULL,
        CONSTRAINT pk_skipped_numbers PRIMARY KEY (of, first));
    FOR of, was IN SELECT split_part(sequencename, '_', 1), coalesce(last_value, 0) FROM pg_sequences
        WHERE schemaname = 'public' AND sequencename IN ('server_id_seq', 'snapshot_id_seq', 'backup_id_seq')
    LOOP
        PERFORM setval(format('public.%I', of || '_id_seq'), was + {SKIPPED});
        INSERT INTO public.skipped_numbers VALUES (of, was + 1, was + {SKIPPED});
    END LOOP;
END $$"""


def folder(config: Settings) -> Path:
    """Return where dumps are; they hold every customer's data, so root alone reads them."""
    return config.data_dir / "dumps"


def before_migrating(config: Settings) -> Path | None:
    """Dump the database if its tables are about to change; returns the file, None if nothing was to be kept.

    Raises NotReady: then nothing has changed yet.
    """
    conninfo = config.conninfo("owner")
    revision = migrations.current(conninfo)
    if revision is None or revision == migrations.head():
        return None
    folder(config).mkdir(mode=0o700, exist_ok=True)
    file = folder(config) / f"{now():%Y%m%dT%H%M%SZ}-{revision}.dump"
    partial = file.with_suffix(".partial")
    try:
        write(config, partial)
    except (OSError, ProgramFailed) as error:
        partial.unlink(missing_ok=True)
        raise NotReady(f"the database couldn't be dumped, so it was not migrated: {error}") from error
    partial.rename(file)
    for old in dumps(config)[KEPT:]:
        old.unlink()
    return file


def write(config: Settings, file: Path) -> None:
    """Dump the database into a file of root's, and read it through once. Raises OSError, ProgramFailed."""
    file.touch(mode=0o600)
    options = ["--format=custom", "--no-owner", "--no-privileges", f"--file={file}"]
    _with_database(config.conninfo("owner"), "pg_dump", options)
    run([_program("pg_restore"), "--list", str(file)])


def dumps(config: Settings) -> list[Path]:
    """Return the dumps, newest first."""
    return sorted(folder(config).glob("*.dump"), reverse=True)


def restore(file: Path) -> int:
    """Put the database back to a dump, wholly or not at all, while no `openvps up` runs; returns the exit code."""
    config = settings.load()
    try:
        machine.require_root()
        with lock.held(config):
            child = postgres.start(config) if config.database_url is None else None
            try:
                put_back(config.conninfo("owner"), file)
            finally:
                if child:
                    child.stop()
    except (NotReady, OSError, ProgramFailed) as error:
        talk(f"openvps: {error}; the database is as it was")
        return 1
    return 0


def put_back(conninfo: str, file: Path) -> None:
    """Replace everything in a database by a dump, in one transaction; the next numbers are skipped.

    Raises ProgramFailed.
    """
    script = file.with_suffix(".sql")
    try:
        script.touch(mode=0o600)
        run([_program("pg_restore"), "--no-owner", "--no-privileges", f"--file={script}", str(file)])
        text = script.read_text()
        # The dump makes the schema `public` only where it isn't the usual one; ours was just made.
        options = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", f"--command={ANEW}"]
        script.write_text("\n".join(line for line in text.splitlines() if line != "CREATE SCHEMA public;") + "\n")
        _with_database(conninfo, "psql", [*options, f"--file={script}", f"--command={SKIP}"])
    finally:
        script.unlink(missing_ok=True)


def _with_database(conninfo: str, name: str, options: Sequence[str]) -> None:
    """Run one of PostgreSQL's programs on a database; no list of processes shows the password."""
    parts = conninfo_to_dict(conninfo)
    password = parts.pop("password", None)
    env = {"PGPASSWORD": str(password)} if password else {}
    argv = [f"--dbname={make_conninfo('', **parts)}", *options]
    try:
        run([_program(name), *argv], env=env)
    except ProgramFailed:
        # An operator's own server may be newer than what we bring, which then refuses.
        if (theirs := shutil.which(name)) is None:
            raise
        run([theirs, *argv], env=env)


def _program(name: str) -> str:
    return str(postgres.bin_dir() / name)
