"""`openvps up`: prepare the machine, step by step, then run api, worker and database until told to end.

Every step looks first and may be repeated, so the second start does what the first one left, and nothing twice.
Servers and the engine's daemon are no children of ours: they go on when we end.
"""

import asyncio
import contextlib
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from openvps.compute.backups import store
from openvps.core import settings
from openvps.core.db import Database
from openvps.core.settings import Settings
from openvps.engine.incus import open_engine
from openvps.engine.protocol import EngineError
from openvps.ops import (
    backup_key,
    btrfs_quota,
    farewell,
    hostnet,
    images,
    lock,
    machine,
    operator_context,
    operator_keys,
    postgres,
    prepare,
    restart,
)
from openvps.ops.image.build import CannotBuild
from openvps.ops.image.sources import NoSource
from openvps.ops.incus_daemon import Daemon
from openvps.ops.incus_rest import IncusFailed
from openvps.ops.machine import NotReady
from openvps.ops.migrate import migrate
from openvps.ops.processes import Child, Program
from openvps.ops.run import ProgramFailed
from openvps.ops.seed import CellSeed, Seeded, seed
from openvps.ops.steps import Steps
from openvps.ops.supervisor import Interrupts, Supervisor

READY_S = 30
PRIVILEGED_PORTS = 1024
REFUSALS = (NotReady, ProgramFailed, IncusFailed, EngineError, CannotBuild, NoSource)  # said in a line, no traceback


def main() -> int:
    """Prepare, run, and end cleanly; returns the exit code."""
    config = settings.load()
    steps = Steps()
    interrupts = Interrupts()
    supervisor = Supervisor(steps.say)
    try:
        machine.require_root()
        with lock.held(config):
            farewell.forget(config)
            try:
                _require_port(config)
                tell(steps, config, _start(config, steps, supervisor))
                supervisor.watch()
            finally:
                supervisor.stop(hard=interrupts.impatient)
    except KeyboardInterrupt:
        steps.say(farewell.words(config))
        return 0
    except REFUSALS as error:
        steps.say(f"openvps: {error}")
        return 1
    return 0


def environment(config: Settings, **changed: str) -> dict[str, str]:
    """Return the settings as variables for our processes, who can't read the operator's file."""
    found = {"OPENVPS_CONFIG": "/dev/null", "OPENVPS_DATA_DIR": str(config.data_dir.resolve())}
    for name in config.model_fields_set - {"data_dir"}:
        value: object = getattr(config, name)
        if value is not None:
            words = cast("list[str]", value) if isinstance(value, list) else [str(value)]
            found[f"OPENVPS_{name.upper()}"] = ",".join(words)
    return found | changed


def _start(config: Settings, steps: Steps, supervisor: Supervisor) -> Seeded:
    """Do every step; returns what to tell the operator."""
    seeded, daemon = prepared(config, steps, supervisor)
    with steps.step("api, worker and console"):
        for program in (_worker(config, daemon.socket), _console(config, daemon.socket), _api(config)):
            supervisor.add(Child(program, config.data_dir / "log"))
        _wait_for_api(config, supervisor.children[-1])
    return seeded


def prepared(config: Settings, steps: Steps, supervisor: Supervisor) -> tuple[Seeded, Daemon]:
    """Do every step before api and worker; returns what to tell the operator, and the engine's daemon."""
    prepare.kernel(config, steps)
    with steps.step("database") as notes:
        if config.database_url is None:
            supervisor.add(postgres.start(config))
            notes.append(f"embedded PostgreSQL {postgres.MAJOR}")
        if file := migrate(config):
            notes.append(f"dumped to {file} before its tables changed")
        if config.database_url is None:
            postgres.grant(config)
    prepare.network(config, steps)
    with steps.step("engine") as notes:
        daemon, pool = prepare.engine(config, notes)
        if mount := prepare.unwatched(config, daemon, pool):
            btrfs_quota.keep_counted(mount, steps.say)
        restart.start_again(daemon.socket, config)
    with steps.step("rows"):
        seeded = remembered(config, asyncio.run(_seed(config, daemon.socket, pool)))
    with steps.step("image", quiet=True):
        images.ensure(config)
    with steps.step("backups") as notes:
        if backup_key.ensure(config):
            notes.append(
                f"new key in {store.folder(config) / 'key'}: keep a copy elsewhere, no backup opens without it"
            )
    for name in ("tls_certificate", "tls_key"):
        if file := getattr(config, name):
            _for_api(file, copy_of(config, name))
    return seeded, daemon


async def _seed(config: Settings, engine_socket: Path, pool: str) -> Seeded:
    database = Database(config.conninfo("owner"))
    engine = open_engine(engine_socket, config.project, pool)
    try:
        cell = CellSeed(
            name=config.project,
            socket=engine_socket,
            project=config.project,
            pool=pool,
            capacity=await engine.capacity(),
            nameservers=hostnet.nameservers(config),
        )
        return await seed(database, config, cell, operator_keys.public_keys(config))
    finally:
        await engine.close()
        await database.close()


def _untold(config: Settings) -> Path:
    """Return the file that keeps the first token until it is shown: a start may be interrupted before."""
    return config.data_dir / "first-token"


def remembered(config: Settings, seeded: Seeded) -> Seeded:
    """Keep a new token until it is shown, and find one that never was."""
    file = _untold(config)
    if seeded.token:
        file.touch(mode=0o600)
        file.write_text(seeded.token)
    elif file.exists():
        token = file.read_text()
        return Seeded(token, seeded.curl.replace("$OPENVPS_TOKEN", token))
    return seeded


def _api(config: Settings) -> Program:
    """Return the API: no engine, no capability but that for a low port."""
    named = [name for name in ("tls_certificate", "tls_key") if getattr(config, name)]
    changed = {f"OPENVPS_{name.upper()}": str(copy_of(config, name)) for name in named}
    return Program(
        name="api",
        argv=[sys.executable, "-P", "-m", "openvps", "api"],
        user=machine.API_USER,
        groups=[machine.GROUP],
        capabilities=["net_bind_service"] if config.port < PRIVILEGED_PORTS else [],
        environment=environment(config, **changed),
        stop_s=15,
    )


def _worker(config: Settings, engine_socket: Path) -> Program:
    """Return the worker: it may speak to the engine, and change the host's network (`engine/incus/host.py`)."""
    return Program(
        name="worker",
        argv=[sys.executable, "-P", "-m", "openvps", "worker"],
        user=machine.WORKER_USER,
        groups=[machine.GROUP, str(engine_socket.stat().st_gid)],
        capabilities=["net_admin"],
        environment=environment(config),
    )


def _console(config: Settings, engine_socket: Path) -> Program:
    """Return the console process: it may speak to the engine, as the worker, whose key of remote cells it reads."""
    return Program(
        name="console",
        argv=[sys.executable, "-P", "-m", "openvps", "console"],
        user=machine.CONSOLE_USER,
        groups=[machine.GROUP, machine.WORKER_USER, str(engine_socket.stat().st_gid)],
        environment=environment(config),
    )


def copy_of(config: Settings, name: str) -> Path:
    """Return where the API finds its certificate (`tls_certificate`) or key (`tls_key`)."""
    return config.data_dir.resolve() / "tls" / f"{name}.pem"


def _for_api(file: Path, copy: Path) -> None:
    """Copy a key or certificate to where the API may read it, and nobody else."""
    copy.unlink(missing_ok=True)
    copy.touch(mode=0o400)
    shutil.copyfile(file, copy)
    shutil.chown(copy, machine.API_USER)


def _require_port(config: Settings) -> None:
    """Raise NotReady unless the API's address can be listened on."""
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(*found[:3]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
    except OSError as error:
        raise NotReady(
            f"the API can't listen on {config.listen}: {error.strerror}; end what does, or set OPENVPS_LISTEN"
        ) from error


def _wait_for_api(config: Settings, api: Child) -> None:
    """Wait until the API takes connections. Raises NotReady with its last words."""
    if not listens(config, config.port, going_on=lambda: api.running):
        raise NotReady(f"the API doesn't start; {api.log} says:\n{api.last_words()}")


def listens(config: Settings, port: int, *, going_on: Callable[[], bool] = lambda: True) -> bool:
    """Wait until an API takes connections at its port; False if it has ended or doesn't within READY_S."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)  # noqa: S104 -- asked about, not bound
    deadline = time.monotonic() + READY_S
    while going_on() and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection((host, port), timeout=1).close()
            return True
        time.sleep(0.05)
    return False


def tell(steps: Steps, config: Settings, seeded: Seeded) -> None:
    """Say where the API is and how a first server is made."""
    steps.say(f"\nOpenVPS is ready at {config.base_url}/api/v1/\n")
    if seeded.token:
        kept = operator_context.keep(config, seeded.token)
        steps.say(f"token (shown once): {seeded.token}\n")
        _untold(config).unlink(missing_ok=True)
        if kept:
            command = Path(sys.executable).with_name("openvps")
            steps.say("with the command line, which knows the token:")
            steps.say(f"{command} server create my-first-server\n{command} server ssh my-first-server\n")
    else:
        steps.say('with your token in the shell (export OPENVPS_TOKEN="..."):')
    steps.say(f"make a server:\n{seeded.curl}\n")
    key = operator_keys.private_key(config)
    steps.say(f"log in to the newest one, a few seconds later:\n{_login(config, seeded.token, key)}\n")


def _login(config: Settings, token: str | None, key: Path | None) -> str:
    """Return a line that logs in to the newest server, as pasted."""
    address = (
        f'$(curl -s {config.base_url}/api/v1/servers/ -H "Authorization: Bearer {token or "$OPENVPS_TOKEN"}"'
        """ | grep -o '"ip_address":"[^"]*' | head -n 1 | cut -d'"' -f4)"""
    )
    identity = f"-i {key} " if key else ""
    return f"ssh {identity}-o StrictHostKeyChecking=accept-new root@{address}"
