"""An upgrade with live servers: an older revision installed as its operator would, then this one over it, and back.

No measurement but a proof: each line of the table was seen, in this order. The older revision has an environment of
its own, built by its own script/bootstrap from what git has of it; both work on one data folder, one after the other.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from login import OPTIONS, log_in
from proof import REPOSITORY, NotSeen, Seen, until
from tables import say, table

import lab as whole
from openvps.ops.run import ProgramFailed, run
from openvps.schema import metadata
from running import free_port

READY_S, AGAIN_S, SETTLED_S, END_S = 900, 120, 240, 120
NEW = Path(sys.executable).with_name("openvps")
STARTED = "cut -d' ' -f22 /proc/1/stat"  # when its init started: another one after a boot


def older() -> str:
    """Return the revision to upgrade from: the newest tag before this one, else the one before the last migration."""
    try:
        return run(["git", "-C", str(REPOSITORY), "describe", "--tags", "--abbrev=0", "HEAD~1"]).strip()
    except ProgramFailed:
        added = ["log", "--diff-filter=A", "--format=%H", "-n1", "--", "src/openvps/migrations/versions"]
        return run(["git", "-C", str(REPOSITORY), *added]).strip() + "~1"


def prove(revision: str | None) -> bool:
    """Go the whole way; returns whether all was seen."""
    seen = Seen()
    folder = Path(tempfile.mkdtemp(prefix="openvps-upgrade-", dir="/var/lib"))
    folder.chmod(0o755)
    walk = _Walk(seen, folder, revision or older())
    failed = True
    try:
        walk.go()
        failed = False
    except (NotSeen, ProgramFailed, TimeoutError, httpx2.HTTPError, psycopg.Error) as error:
        say(f"\nnot as it should be: {error}")
        for log in sorted(folder.glob("*.log")):
            say(f"\n{log.name} ends with:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-20:]))
    finally:
        walk.end()
        run(["rm", "-rf", "--one-file-system", "--", str(folder)])
    say("\n" + table(["step", "seen", "seconds"], seen.rows))
    return not failed


class _Walk:
    """The way from one revision to the other."""

    def __init__(self, seen: Seen, folder: Path, revision: str) -> None:
        self.seen, self.folder, self.revision = seen, folder, revision
        port = free_port()
        self.environment = whole.environment(folder, port)
        self.url = f"http://127.0.0.1:{port}/api/v1"
        self.data = folder / "data"
        self.prefix = folder / "environment"
        self.old = self.prefix / "bin" / "openvps"
        self.key = folder / "id_ed25519"
        self.token = ""
        self.boots: dict[int, str] = {}  # of each server that runs: when its init started
        self.up: subprocess.Popen[bytes] | None = None

    def go(self) -> None:
        """Go it."""
        self.installed()
        servers = [self.create(f"of-the-old-{number}") for number in range(2)]
        off = self.create("is-off")
        with self.seen.step("three servers are made, one is stopped"):
            for one in (*servers, off):
                self.until_is(one, "active")
            self.ask("POST", f"/servers/{off}/stop/")
            self.until_is(off, "stopped")
            self.boots = {one: self.inside(one, STARTED) for one in servers}
        self.refused()
        self.upgraded(servers, off)
        self.taken_back()

    # the way

    def installed(self) -> None:
        with self.seen.step(f"revision {self.revision}, installed by its own script/bootstrap") as notes:
            tree = self.folder / "tree"
            tree.mkdir()
            commit = run(
                ["git", "-C", str(REPOSITORY), "rev-parse", "--short", f"{self.revision}^{{commit}}"]
            ).strip()
            packed = self.folder / "tree.tar"
            run(["git", "-C", str(REPOSITORY), "archive", f"--output={packed}", commit])
            run(["tar", "--extract", f"--file={packed}", f"--directory={tree}"])
            own = {**os.environ, "OPENVPS_PREFIX": str(self.prefix)}
            with (self.folder / "bootstrap.log").open("wb") as out:
                subprocess.run(
                    [str(tree / "script/bootstrap")], env=own, stdout=out, stderr=out, check=True, cwd=tree
                )
            migrations = sorted((tree / "src/openvps/migrations/versions").glob("0*.py"))
            notes.append(f"{commit}, its newest migration is {migrations[-1].stem[:4]}")
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)])
        (self.folder / ".ssh").mkdir()
        shutil.copy(f"{self.key}.pub", self.folder / ".ssh" / "id_ed25519.pub")
        with self.seen.step("its openvps up, on an empty folder"):
            said = self.start(self.old, READY_S)
            token = re.search(r"\bvps_[0-9A-Za-z]{38}\b", said)
            self.token = token.group() if token else ""

    def refused(self) -> None:
        """See that an upgrade whose migrations fail changes nothing, and says what to do."""
        before = self.tables()
        fresh = [one.name for one in metadata.sorted_tables if one.name not in before]
        if not fresh:
            return
        with self.seen.step("the new version's up, where a migration fails, says what to do") as notes:
            with self.database() as conn:
                conn.execute(f"CREATE TABLE {fresh[-1]} (in_the_way int)".encode())
            self.stop()
            said = self.failing(NEW)
            for words in ("as they were", "run the version before this one again", str(self.data / "dumps")):
                if words not in said:
                    raise NotSeen(f"{words!r} isn't in: {said[-1000:]}")
            self.run_on()
            notes.append("servers run on")
        with self.seen.step("the old version's up works on as before") as notes:
            self.start(self.old, AGAIN_S)
            with self.database() as conn:
                conn.execute(f"DROP TABLE {fresh[-1]}".encode())
            if other := self.tables() ^ before:
                raise NotSeen(f"the tables aren't what they were: {sorted(other)}")
            shown = self.ask("GET", "/servers/")
            notes.append(f"its API lists {shown['count']} servers")

    def upgraded(self, servers: list[int], off: int) -> None:
        """See the upgrade: a dump before it, servers that run on, an API that has and does what it did."""
        shown = {one: self.ask("GET", f"/servers/{one}/") for one in (*servers, off)}
        self.stop()
        with self.seen.step("the new version's up migrates, after a dump") as notes:
            said = self.start(NEW, READY_S)
            if "before its tables changed" not in said:
                raise NotSeen("no dump was made")
            dump = self.newest_dump()
            notes.append(f"{dump.name}, {dump.stat().st_size >> 10} KiB, {dump.stat().st_mode & 0o777:o}")
        with self.seen.step("servers run on, and the API shows what it showed") as notes:
            self.run_on()
            for one, was in shown.items():
                now = self.ask("GET", f"/servers/{one}/")
                if changed := [name for name in ("id", "name", "status", "ip_address") if now[name] != was[name]]:
                    raise NotSeen(f"server {one} has another {changed}")
            notes.append("no boot of theirs is new")
        with self.seen.step("they are stopped, started and deleted; a new one is made"):
            self.ask("POST", f"/servers/{off}/start/")
            self.ask("POST", f"/servers/{servers[0]}/reboot/")
            made = self.create("of-the-new")
            for one in (off, servers[0], made):
                self.until_is(one, "active")
            self.inside(made, "true")
            self.boots[servers[0]] = self.inside(servers[0], STARTED)
            self.ask("DELETE", f"/servers/{off}/")
        with self.seen.step("openvps audit") as notes:
            notes.append(f"exit code {self.audit()}")

    def taken_back(self) -> None:
        """See the way back to the old version, and forth again: a server made meanwhile isn't lost nor given away."""
        self.stop()
        dump = self.newest_dump()
        with self.seen.step("openvps database restore, and the old version's up"):
            self.command(NEW, "database", "restore", str(dump))
            self.start(self.old, AGAIN_S)
            self.run_on()
            names = {one["name"] for one in self.ask("GET", "/servers/")["results"]}
            if "of-the-new" in names or "is-off" not in names:
                raise NotSeen(f"the old version lists {names}")
            self.stop()
        with self.seen.step("the new version again; the audit names what was made since") as notes:
            self.start(NEW, AGAIN_S)
            self.run_on()
            said = self.command(NEW, "audit", code=1)
            if "never gave out" not in said:
                raise NotSeen(f"the audit says: {said}")
            notes.append("a server made in between is named, and left alone")
        with self.seen.step("openvps down --purge --yes"):
            self.command(NEW, "down", "--purge", "--yes")
            self.ended()
            if self.data.exists():
                raise NotSeen(f"{self.data} is there")

    # how it is done

    def start(self, program: Path, within_s: float) -> str:
        """Run `up` until it is ready; returns what it said. Raises NotSeen."""
        log = self.folder / f"up-{len(self.seen.rows)}.log"
        with log.open("wb") as out:
            self.up = subprocess.Popen(
                [str(program), "up"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

        def ready() -> bool:
            if self.up and self.up.poll() is not None:
                raise NotSeen(f"up ended with {self.up.returncode}: {log.read_text()[-3000:]}")
            return "log in to the newest one" in log.read_text(errors="replace")

        until(ready, "up is ready", within_s)
        return log.read_text()

    def failing(self, program: Path) -> str:
        """Run `up` that is to end by itself with code 1; returns what it said. Raises NotSeen."""
        done = subprocess.run(
            [str(program), "up"], env=self.environment, capture_output=True, text=True, timeout=END_S, check=False
        )
        if done.returncode != 1 or "Traceback" in done.stderr:
            raise NotSeen(f"up ended with {done.returncode}: {done.stderr[-3000:]}")
        return done.stderr

    def stop(self) -> None:
        """End `up` as Ctrl-C does; servers go on."""
        if self.up:
            self.up.send_signal(signal.SIGTERM)
            self.ended()

    def ended(self) -> None:
        if self.up and self.up.wait(END_S):
            raise NotSeen(f"up ended with {self.up.returncode}")
        self.up = None

    def end(self) -> None:
        """Leave nothing, whatever happened."""
        if self.data.exists():
            down = [str(NEW), "down", "--purge", "--yes"]
            subprocess.run(down, env=self.environment, stdin=subprocess.DEVNULL, check=False)
        if self.up and self.up.poll() is None:
            self.up.kill()
            self.up.wait()

    def command(self, program: Path, *words: str, code: int = 0) -> str:
        """Run a command on the host; returns what it said. Raises NotSeen where it ends otherwise."""
        done = subprocess.run(
            [str(program), *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        if done.returncode != code:
            raise NotSeen(f"openvps {' '.join(words)} ended with {done.returncode}: {said}")
        return said

    def audit(self) -> int:
        """Have everything looked at, once what was deleted is gone."""
        with self.database() as conn:
            until(
                lambda: conn.execute("SELECT 1 FROM server WHERE look_at IS NOT NULL").fetchone() is None,
                "nothing is on its way",
                SETTLED_S,
            )
        self.command(NEW, "audit")
        return 0

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API."""
        headers = {"Authorization": f"Bearer {self.token}"}
        with httpx2.Client(trust_env=False, timeout=30) as http:
            answer = http.request(method, self.url + path, json=body, headers=headers).raise_for_status()
        return answer.json() if answer.content else None

    def create(self, name: str) -> int:
        body = {"name": name, "plan_id": 3, "os_id": 3, "location": "us-west"}
        return self.ask("POST", "/servers/", body)["id"]

    def until_is(self, server: int, status: str) -> None:
        until(lambda: self.ask("GET", f"/servers/{server}/")["status"] == status, f"{server} is {status}", SETTLED_S)

    def inside(self, server: int, line: str) -> str:
        """Run a line in a server, as who logs in to it."""
        address = self.ask("GET", f"/servers/{server}/")["ip_address"]
        log_in(address, self.key)
        return run(["ssh", "-F", "none", "-i", str(self.key), *OPTIONS, f"root@{address}", line]).strip()

    def run_on(self) -> None:
        """See that no server was booted anew. Asked in the engine: the API may be off."""
        for server, boot in self.boots.items():
            argv = ["incus", "--project", self.environment["OPENVPS_PROJECT"], "exec", f"vps-{server}", "--"]
            engine = {"INCUS_DIR": str(self.data / "incus"), "INCUS_CONF": str(self.folder / "client")}
            now = run([*argv, "sh", "-c", STARTED], env=engine).strip()
            if now != boot:
                raise NotSeen(f"server {server} was booted anew")

    def newest_dump(self) -> Path:
        return max((self.data / "dumps").glob("*.dump"))

    def database(self) -> psycopg.Connection[Any]:
        return psycopg.connect(f"postgresql://openvps@/openvps?host={self.data}/postgres/run", autocommit=True)

    def tables(self) -> set[str]:
        with self.database() as conn:
            found = conn.execute(  # partitions come and go with the hours
                "SELECT relname FROM pg_class"
                " WHERE relkind IN ('r', 'p') AND relnamespace = 2200 AND NOT relispartition"
            )
            return {row[0] for row in found}
