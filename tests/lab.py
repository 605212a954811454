"""A whole OpenVPS for the live tests: `openvps up` on an empty folder, as an operator runs it, and purged at the end.

The processes of pytest-xdist share one: the first that needs it starts it under a lock and leaves word in a file;
pytest's main process ends it.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg

from receivers import certificate
from running import free_port

STATE = "OPENVPS_TEST_STATE"  # names the folder where word is left
START_TIMEOUT_S = 900  # an image is built on the way
PLANS = {
    # id: slug, vCPUs, MiB, GB; small enough for many at once
    100: ("nano", 1, 256, 2),
    101: ("small", 2, 512, 3),
    102: ("slim", 1, 256, 3),
}


@dataclass(frozen=True)
class Lab:
    """Where the running OpenVPS and its engine are."""

    url: str
    token: str
    data_dir: str
    database_url: str
    socket: str
    project: str
    pool: str
    image: str
    seconds_to_ready: float

    @property
    def key(self) -> Path:
        """The private key of the SSH key that the operator's account has."""
        return Path(self.data_dir).parent / "id_ed25519"

    def complaints(self, most: int) -> list[str]:
        """Return the last warnings and errors in the logs of the API, the worker and PostgreSQL."""
        told: list[str] = []
        for name in ("api", "worker", "postgresql"):
            lines = Path(self.data_dir, "log", f"{name}.log").read_text(errors="replace").splitlines()
            told += [line for line in lines if re.search(r"\b(warning|error|critical|ERROR|DETAIL)\b", line)][-most:]
        return told


def environment(folder: Path, port: int, **changed: str) -> dict[str, str]:
    """Return the settings of the tests' OpenVPS, beside a real one and other tests' on the same machine.

    `changed` are settings of who wants them otherwise, by their names without OPENVPS_.
    """
    letters = "".join(chr(ord("a") + port // 26**place % 26) for place in range(3))
    ours = {
        "CONFIG": "/nonexistent",
        "DATA_DIR": str(folder / "data"),
        "LISTEN": f"127.0.0.1:{port}",
        "PROJECT": f"openvps-test-{letters}",
        "NIC_PREFIX": f"t{letters}",
        "IPV4_POOL": f"10.{128 + port % 64}.{port // 64 % 64 * 4}.0/22",
        "STORAGE_SIZE_GB": "25",
        "DISK_OVERCOMMIT": "40",
        "MEMORY_OVERCOMMIT": "4",
        "CPU_OVERCOMMIT": "100",
        "CONTAINER_PLANS": "everyone",
        "SAMPLE_INTERVAL_S": "10",
        "STOP_GRACE_S": "8",
        "BILLING_INTERVAL_S": "2",
        "GRACE_HOURS": "0",
        "WEBHOOK_ALLOWED": "127.0.0.0/8",
        "WEBHOOK_CA": str(folder / "receiver.crt"),
        **changed,
    }
    return {**os.environ, "HOME": str(folder), **{f"OPENVPS_{name}": value for name, value in ours.items()}}


def lab(**changed: str) -> Lab:
    """Return the running OpenVPS, starting it (with settings `changed`) if nobody has yet."""
    if engine_alone := os.environ.get("OPENVPS_TEST_SOCKET"):
        return _beside(engine_alone)
    state = Path(os.environ[STATE])
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (state / "failed").exists():
            raise RuntimeError((state / "failed").read_text())
        if not (state / "lab.json").exists():
            try:
                made = _start(state, changed)
            except Exception as error:
                (state / "failed").write_text(f"openvps up failed in another process: {error}")
                raise
            (state / "lab.json").write_text(json.dumps(asdict(made)))
        return Lab(**json.loads((state / "lab.json").read_text()))


def _beside(engine: str) -> Lab:
    """Return a lab of an engine alone, for work on what needs no more: three variables name it."""
    project, pool, image = (os.environ[f"OPENVPS_TEST_{name}"] for name in ("PROJECT", "POOL", "IMAGE"))
    return Lab("", "", "", "", engine, project, pool, image, 0.0)


def _program() -> str:
    return str(Path(sys.executable).parent / "openvps")


def _start(state: Path, changed: dict[str, str]) -> Lab:
    folder = Path(tempfile.mkdtemp(prefix="openvps-test-", dir="/var/lib"))
    folder.chmod(0o755)
    (state / "folder").write_text(str(folder))
    port = free_port()
    env = environment(folder, port, **changed)
    certificate(folder, "DNS:localhost")  # whom the lab's webhooks may call
    (state / "env.json").write_text(json.dumps({key: env[key] for key in env if key.startswith("OPENVPS_")}))
    key = folder / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (folder / ".ssh").mkdir()
    shutil.copy(f"{key}.pub", folder / ".ssh" / "id_ed25519.pub")
    log = folder / "up.log"
    began = time.monotonic()
    program = _program()
    with log.open("w") as out:
        # Spawned, not a Popen: it goes on when this process of pytest has nothing left to run.
        pid = os.posix_spawn(
            program,
            [program, "up"],
            env,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, out.fileno(), 2),
            ],
            setsid=True,
        )
    (state / "pid").write_text(str(pid))
    while not (token := re.search(r"\bvps_[0-9A-Za-z]{38}\b", text := log.read_text())):
        if os.waitpid(pid, os.WNOHANG) != (0, 0) or time.monotonic() - began > START_TIMEOUT_S:
            raise RuntimeError(f"openvps up didn't get ready:\n{text[-4000:]}")
        time.sleep(0.2)
    seconds = time.monotonic() - began
    database_url = f"postgresql://openvps@/openvps?host={folder}/data/postgres/run"
    with psycopg.connect(database_url) as conn:
        for number, (slug, vcpus, memory, storage) in PLANS.items():
            conn.execute(
                "INSERT INTO plan (id, name, slug, kind, vcpus, memory_mib, storage_gb, bandwidth_gb,"
                " price_monthly_micro) VALUES (%s, %s, %s, 'container', %s, %s, %s, 100, 1000000)",
                (number, slug, slug, vcpus, memory, storage),
            )
        conn.execute(
            "INSERT INTO ledger_entry (account_id, amount_micro, kind, reference) VALUES (1, %s, 'credit', 't')",
            (10**12,),
        )
        row = conn.execute(
            "SELECT socket, project, pool, fingerprint FROM cell JOIN image ON image.cell_id = cell.id"
        ).fetchone()
    assert row is not None
    url = f"http://127.0.0.1:{port}/api/v1"
    daemon, project, pool, image = row
    return Lab(url, token.group(), env["OPENVPS_DATA_DIR"], database_url, daemon, project, pool, image, seconds)


def end(state: Path) -> None:
    """Stop and purge what was started, and check that `up` ended as it should."""
    if not (state / "folder").exists():
        return
    folder = Path((state / "folder").read_text())
    if (state / "env.json").exists():
        env = {**os.environ, **json.loads((state / "env.json").read_text())}
        subprocess.run([_program(), "down", "--purge", "--yes"], env=env, check=True, stdin=subprocess.DEVNULL)
    shutil.rmtree(folder)
