"""`openvps service`: api, worker and console as systemd's units, several of the first two, on an external PostgreSQL.

`openvps up` is one process of each under one parent, for one machine. These are for an installation that must not
have one of anything: each unit stands alone, any may end, and the others go on. Which worker does what they settle
over the database; there is no leader. What root prepares is a unit of its own before them, as `up` prepares it.
"""

import grp
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from openvps.core import settings
from openvps.core.settings import Settings
from openvps.ops import lock, machine, up
from openvps.ops.accounts import Output, say, talk
from openvps.ops.machine import NotReady
from openvps.ops.processes import PATH
from openvps.ops.run import run
from openvps.ops.steps import Steps
from openvps.ops.supervisor import Supervisor
from openvps.ops.units import PROGRAM, UNITS, replace

STARTED_AT_BOOT = UNITS / "multi-user.target.wants"  # where an enabled unit has its link
PREPARE, API, WORKER = "openvps-prepare.service", "openvps-api@.service", "openvps-worker@.service"
CONSOLE = "openvps-console.service"  # one a machine: it carries the terminals of all its apis
PRIVILEGED_PORTS = 1024
NOT_RUNNING = 3  # as of `systemctl status`
AGAIN_S = 5  # at boot, until database and engine answer
STOP_S = 120
HARDENED = """\
NoNewPrivileges=yes
CapabilityBoundingSet={capabilities}
AmbientCapabilities={capabilities}
ProtectSystem=strict
ReadWritePaths={data_dir}
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6{families}
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077
"""


def install(*, apis: int, workers: int) -> int:
    """Prepare this machine, write the units and start them; returns the exit code."""

    def work(config: Settings) -> int:
        _require(config, apis, workers)
        steps = Steps()
        with lock.held(config):
            seeded, daemon = up.prepared(config, steps, Supervisor(talk))
        for name, text in units(config, engine_group=_group_of(daemon.socket)).items():
            replace(UNITS / name, text, 0o644)
        replace(environment_file(config), _environment(config), 0o600)
        run(["systemctl", "daemon-reload"])
        wanted = instances(config, apis, workers)
        for name in sorted(set(installed(config)) - set(wanted)):
            run(["systemctl", "disable", "--now", "--quiet", name], timeout_s=STOP_S)
        run(["systemctl", "enable", "--quiet", *wanted])
        with steps.step("units"):
            _restart(config, wanted)
        up.tell(steps, config, seeded)
        talk("openvps: systemd runs it; see `openvps service status`")
        return 0

    return _do(work)


def _restart(config: Settings, wanted: Sequence[str]) -> None:
    """Start what doesn't run, and what runs anew, one after another, so that an api answers all the time.

    What prepares was just done by ourselves: started again, it would take all the others down with it.
    """
    run(["systemctl", "start", PREPARE], timeout_s=600)
    for name in wanted:
        if name == PREPARE:
            continue
        run(["systemctl", "restart", name], timeout_s=STOP_S)
        if (port := _port(name)) and not up.listens(config, port):
            raise NotReady(f"{name} doesn't start; see journalctl -u {name}")


def prepare() -> int:
    """Do what root must before api and worker start; the unit runs this at the host's boot.

    There, database and engine may come later than we do: it is tried until it is done.
    """

    def work(config: Settings) -> int:
        with lock.held(config):
            up.prepared(config, Steps(), Supervisor(talk))
        return 0

    while code := _do(work):
        if not _runs_as_a_unit():
            return code
        talk(f"openvps: again in {AGAIN_S} s")
        time.sleep(AGAIN_S)
    return 0


def uninstall() -> int:
    """End and remove the units; servers, database and data stay."""

    def work(config: Settings) -> int:
        remove(config)
        talk("openvps: the units are gone; servers go on")
        return 0

    return _do(work)


def remove(config: Settings) -> None:
    """End and remove the units, if there are any."""
    for name in installed(config):
        run(["systemctl", "disable", "--now", "--quiet", name], timeout_s=STOP_S)
    if _whose() == environment_file(config):
        for name in (API, WORKER, CONSOLE, PREPARE):
            (UNITS / name).unlink(missing_ok=True)
        run(["systemctl", "daemon-reload"])
    environment_file(config).unlink(missing_ok=True)


def stop(config: Settings) -> None:
    """End the units that run, if there are any; the next boot starts them again."""
    if names := installed(config):
        run(["systemctl", "stop", *names], timeout_s=STOP_S)


def status(output: Output) -> int:
    """Print each unit's state; 3 if one doesn't run or none is installed."""

    def work(config: Settings) -> int:
        rows = [{"unit": name, "state": _state(name)} for name in installed(config)]
        runs = bool(rows) and all(one["state"] == "active" for one in rows)
        if output == "json":
            say(output, rows, [])
        else:
            table = Table("UNIT", "STATE", box=None)
            for one in rows:
                table.add_row(one["unit"], one["state"])
            Console(highlight=False, markup=False).print(table)
        return 0 if runs else NOT_RUNNING

    return _do(work)


def instances(config: Settings, apis: int, workers: int) -> list[str]:
    """Return the units to run: an api a port from the configured one on, workers by number, and a console."""
    ports = (API.replace("@", f"@{config.port + number}") for number in range(apis))
    return [PREPARE, *ports, *(WORKER.replace("@", f"@{1 + number}") for number in range(workers)), CONSOLE]


def environment_file(config: Settings) -> Path:
    """Return the file of the settings, which only root, and so systemd, reads."""
    return config.data_dir.resolve() / "service.env"


def units(config: Settings, *, engine_group: str) -> dict[str, str]:
    """Return the units' texts by their names; who is in `engine_group` may speak to the engine."""
    file, data_dir = environment_file(config), config.data_dir.resolve()
    listening = f"{f'[{config.host}]' if ':' in config.host else config.host}:%i"
    low = "CAP_NET_BIND_SERVICE" if config.port < PRIVILEGED_PORTS else ""
    return {
        PREPARE: f"""\
[Unit]
Description=What OpenVPS's processes need of this machine
After=network-online.target incus.service postgresql.service
Wants=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
EnvironmentFile={file}
ExecStart={PROGRAM} service prepare
TimeoutStartSec=infinity
KillMode=process

[Install]
WantedBy=multi-user.target
""",
        API: _unit(
            "API on port %i",
            "api",
            user=machine.API_USER,
            environment=f"EnvironmentFile={file}\n",
            # By env(1): what the file says of the same names would go before any Environment= (systemd.exec(5)).
            changed=[f"OPENVPS_LISTEN={listening}", *_tls(config)],
            hardened=HARDENED.format(capabilities=low, families="", data_dir=data_dir),
        ),
        WORKER: _unit(
            "worker %i",
            "worker",
            user=machine.WORKER_USER,
            groups=[engine_group],
            environment=f"EnvironmentFile={file}\n",
            hardened=HARDENED.format(capabilities="CAP_NET_ADMIN", families=" AF_NETLINK", data_dir=data_dir),
        ),
        CONSOLE: _unit(
            "terminals",
            "console",
            user=machine.CONSOLE_USER,
            groups=[machine.WORKER_USER, engine_group],
            environment=f"EnvironmentFile={file}\n",
            hardened=HARDENED.format(capabilities="", families="", data_dir=data_dir),
        ),
    }


def _unit(
    what: str,
    command: str,
    *,
    user: str,
    groups: Sequence[str] = (),
    environment: str,
    changed: Sequence[str] = (),
    hardened: str,
) -> str:
    """Return the unit of one of our processes, which is started again whenever it ends, however often.

    Its group is its user's own: folders that are one process's alone are opened to that. Told to end, it alone is
    told: what it runs (a store's restic) it ends itself, when its grace is over.
    """
    return f"""\
[Unit]
Description=OpenVPS {what}
After={PREPARE}
Requires={PREPARE}
StartLimitIntervalSec=0

[Service]
User={user}
SupplementaryGroups={" ".join([machine.GROUP, *groups])}
{environment}ExecStart={" ".join(["/usr/bin/env", *changed])} {PROGRAM} {command}
Restart=always
RestartSec=1
TimeoutStopSec=20
KillMode=mixed
{hardened}
[Install]
WantedBy=multi-user.target
"""


def _tls(config: Settings) -> list[str]:
    """Return where the API finds its certificate and key: copies that it may read."""
    return [
        f"OPENVPS_{name.upper()}={up.copy_of(config, name)}"
        for name in ("tls_certificate", "tls_key")
        if getattr(config, name)
    ]


def _environment(config: Settings) -> str:
    """Return the settings as systemd reads them."""
    lines: list[str] = []
    for name, value in sorted(up.environment(config).items()):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'{name}="{escaped}"\n')
    return f'PATH="{PATH}"\n' + "".join(lines)


def _group_of(socket: Path) -> str:
    """Return the group whose members may speak to the engine."""
    return grp.getgrgid(socket.stat().st_gid).gr_name


def _require(config: Settings, apis: int, workers: int) -> None:
    if config.database_url is None:
        raise NotReady("several processes need a PostgreSQL of their own: set OPENVPS_DATABASE_URL")
    if shutil.which("systemctl") is None or not Path("/run/systemd/system").is_dir():
        raise NotReady("this machine isn't run by systemd; `openvps up` needs none")
    if apis < 1 or workers < 1:
        raise NotReady("at least one api and one worker")
    if (other := _whose()) not in {None, environment_file(config)}:
        raise NotReady(f"this machine has the units of another installation, whose settings are in {other}")


def installed(config: Settings) -> Sequence[str]:
    """Return the units of this data folder that are to run.

    By systemd's own links: its list of files has no instances of a template.
    """
    if _whose() != environment_file(config):
        return []
    ours = (PREPARE, CONSOLE, API.partition("@")[0] + "@", WORKER.partition("@")[0] + "@")
    return sorted(file.name for file in STARTED_AT_BOOT.glob("openvps-*.service") if file.name.startswith(ours))


def _whose() -> Path | None:
    """Return the settings' file of the installation that the units are of."""
    if not (UNITS / PREPARE).exists():
        return None
    found = re.search(r"^EnvironmentFile=(.+)$", (UNITS / PREPARE).read_text(), re.MULTILINE)
    return Path(found[1]) if found else None


def _port(unit: str) -> int | None:
    """Return the port of an api's unit."""
    before, at, number = unit.removesuffix(".service").partition("@")
    return int(number) if at and API.startswith(f"{before}@") else None


def _runs_as_a_unit() -> bool:
    return "INVOCATION_ID" in os.environ  # systemd.exec(5)


def _state(unit: str) -> str:
    return run(["systemctl", "show", "--property=ActiveState", "--value", unit]).strip()


def _do(work: Callable[[Settings], int]) -> int:
    """Do what changes the machine; refusals are one line and 1."""
    try:
        machine.require_root()
        return work(settings.load())
    except (*up.REFUSALS, SQLAlchemyError) as error:
        talk(f"openvps: {error}")
        return 1
