"""`openvps service` under a real systemd: two apis and two workers on Debian's own PostgreSQL, killed and restarted.

No measurement but a proof: see `proof`.
"""

import contextlib
import json
import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import proof
from nested import Nested
from proof import CLONE, NotSeen, Seen, failed_units, reboot, until

from openvps.ops.run import ProgramFailed

OPENVPS = "/opt/openvps/bin/openvps"
PASSWORD = "not-to-be-seen"
SETTINGS = f"OPENVPS_DATABASE_URL=postgresql://openvps:{PASSWORD}@127.0.0.1/openvps\n"
PORTS = (8080, 8081)
INSTALL_S, BACK_S = 900, 90
UNITS = ("openvps-api@8080", "openvps-api@8081", "openvps-worker@1", "openvps-worker@2", "openvps-console")
MOST_EXPOSED = 5.0  # by `systemd-analyze security`, of 10
KILLS = 7  # more than systemd bears by itself
LEFT_OF_UNITS = (
    "ls /etc/systemd/system | grep -E 'openvps-(api|worker|console|prepare)';"
    " pgrep -a -u openvps-api,openvps-worker,openvps-console || true"
)
LEFT = (
    "{ ls -d /var/lib/openvps /etc/systemd/system/*openvps*; pgrep -a -f [b]in/openvps;"
    " nft list tables | grep openvps; } 2>/dev/null || true"
)
TERMINAL = """\
import asyncio, json, sys
from websockets.asyncio.client import connect

async def main(url, ticket):
    async with asyncio.timeout(60), connect(url, proxy=None) as socket:
        await socket.send(json.dumps({"ticket": ticket}))
        seen = await socket.recv()
        if json.loads(seen) != {"open": True}:
            sys.exit(seen)
        while not (isinstance(seen, bytes) and b"login:" in seen):
            await socket.send(b"\\r")  # what is typed while the engine still attaches is lost
            try:
                async with asyncio.timeout(1):
                    seen = await socket.recv()
            except TimeoutError:
                continue

asyncio.run(main(*sys.argv[1:]))
"""


def prove() -> bool:
    """Go the whole way; returns whether all was seen."""
    return proof.prove(lambda machine, seen, work: _Walk(machine, seen, work).go())


class _Walk:
    """The way, in a machine that has booted."""

    def __init__(self, machine: Nested, seen: Seen, work: Path) -> None:
        self.machine = machine
        self.seen = seen
        self.log = work / "service.log"
        self.token = self.login = ""

    def go(self) -> None:
        """Go it; what one part finds wrong doesn't keep the others from being seen."""
        self.prepared()
        self.installed()
        wrong: list[str] = []
        for part in (
            self.server_made,
            self.terminal,
            self.hardened,
            self.processes_ended,
            self.database_ended,
            self.tls,
            self.rebooted,
            self.removed,
        ):
            try:
                part()
            except (NotSeen, ProgramFailed, TimeoutError) as error:
                wrong.append(f"{part.__name__}: {error}")
        if wrong:
            raise NotSeen("\n".join(wrong))

    # what is done

    def prepared(self) -> None:
        with self.seen.step("Debian's PostgreSQL") as notes:
            self.machine.shell("apt-get update -q", timeout_s=300)
            apt = "DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql"
            self.machine.shell(apt, timeout_s=600)
            role = f"CREATE ROLE openvps LOGIN PASSWORD '{PASSWORD}'"
            for statement in (role, "CREATE DATABASE openvps OWNER openvps"):
                self.machine.run("runuser", "-u", "postgres", "--", "psql", "-qc", statement)
            notes.append(self.machine.shell("runuser -u postgres -- psql -Atc 'SHOW server_version'").strip())
        with self.seen.step("script/bootstrap"):
            self.machine.shell(f"cd {CLONE} && script/bootstrap", timeout_s=INSTALL_S)

    def installed(self) -> None:
        self.settings("")
        with self.seen.step("openvps service install --apis 2 --workers 2"):
            said = self.install(2, 2)
        self.token = self.found(r"Bearer (vps_\w+)", said)
        self.login = self.found(r"log in to the newest one.*\n(ssh .*root@)", said)
        with self.seen.step("openvps service status") as notes:
            notes.extend(self.status())

    def server_made(self) -> None:
        with self.seen.step("a server ordered of one api is active at the other") as notes:
            began = time.monotonic()
            made = self.create("first")
            self.active(made)
            notes.append(f"{time.monotonic() - began:.1f} s")
        with self.seen.step("a login, once, at the first `active`"):
            address = self.api("GET", f"/servers/{made}/")["ip_address"]
            self.login = f"{self.login}{address}"
            self.machine.shell(f"{self.login} touch /root/kept")
        with self.seen.step("openvps audit") as notes:
            self.machine.run(OPENVPS, "audit", timeout_s=120)
            notes.append("exit code 0")

    def terminal(self) -> None:
        with self.seen.step("its serial console, by the console's unit"):
            made = self.api("GET", "/servers/")["results"][0]["id"]
            ticket = self.api("POST", f"/servers/{made}/console/")
            self.machine.put(TERMINAL.encode(), "/root/terminal.py")
            self.machine.run("/opt/openvps/bin/python", "/root/terminal.py", ticket["url"], ticket["ticket"])

    def hardened(self) -> None:
        for unit in UNITS[1:]:
            with self.seen.step(f"systemd-analyze security {unit}") as notes:
                said = self.machine.shell(f"systemd-analyze security --no-pager {unit} | tail -n 1")
                level = self.found(r"exposure level for \S+: ([\d.]+)", said)
                if float(level) > MOST_EXPOSED:
                    raise NotSeen(f"{unit} is exposed: {level}")
                notes.append(f"exposure {level} of 10")
        with self.seen.step("disks are watched, with no `openvps up` there") as notes:
            notes.append(self.state("openvps-storage"))
            if notes != ["active"]:
                raise NotSeen("openvps-storage doesn't run")
        with self.seen.step("nobody but root and the processes sees the database's password") as notes:
            shown = self.machine.shell("systemctl show 'openvps-*'; ps axww; cat /etc/systemd/system/openvps-*")
            if PASSWORD in shown:
                raise NotSeen("it is shown")
            notes.append(self.machine.shell("stat -c '%U %a' /var/lib/openvps/service.env").strip())
        with self.seen.step("each runs as its user, with its groups and capabilities") as notes:
            for unit in UNITS[1:]:
                user = self.machine.shell(f"ps -o user:20= -p {self.pid(unit)}").strip()
                groups = self.machine.shell(f"ps -o supgrp:80= -p {self.pid(unit)}").strip()
                capabilities = self.machine.shell(f"grep CapEff /proc/{self.pid(unit)}/status").split()[1]
                notes.append(f"{unit.partition('@')[0]} {user} ({groups}) {int(capabilities, 16):x}")

    def processes_ended(self) -> None:
        with self.seen.step("a worker restarted in the middle of a create"):
            made = self.create("second")
            self.machine.run("systemctl", "restart", "openvps-worker@1")
            self.active(made)
        with self.seen.step("kill -9 of both workers in the middle of a create, an api too") as notes:
            made = self.create("third")
            before = {unit: self.pid(unit) for unit in UNITS[1:4]}
            self.machine.run("kill", "-9", *map(str, before.values()))
            began = time.monotonic()
            until(lambda: all(self.pid(unit) not in {0, before[unit]} for unit in before), "they run again")
            notes.append(f"started again within {time.monotonic() - began:.1f} s")
            self.active(made)
            notes.append(f"active after {time.monotonic() - began:.1f} s")
        with self.seen.step(f"an api killed {KILLS} times in a row is started again") as notes:
            for _ in range(KILLS):
                before = {UNITS[1]: self.pid(UNITS[1])}
                self.machine.run("kill", "-9", str(before[UNITS[1]]))
                until(lambda old=before: self.pid(UNITS[1]) not in {0, old[UNITS[1]]}, "it runs again")
            until(lambda: self.answers(PORTS[1]), "it answers")
            restarts = self.machine.shell(f"systemctl show --value -p NRestarts {UNITS[1]}").strip()
            notes.append(f"NRestarts {restarts}")

    def database_ended(self) -> None:
        with self.seen.step("PostgreSQL off for ten seconds: 503, and then on as before") as notes:
            self.machine.run("systemctl", "stop", "postgresql")
            try:
                until(lambda: self.code("GET", "/servers/") == "503", "the api answers 503")
                time.sleep(10)
            finally:
                self.machine.run("systemctl", "start", "postgresql")
            began = time.monotonic()
            until(lambda: self.answers(PORTS[0]) and self.answers(PORTS[1]), "both answer")
            notes.append(f"both answer after {time.monotonic() - began:.1f} s")
            made = self.create("fourth")
            self.active(made)
            notes.extend(self.status())

    def tls(self) -> None:
        with self.seen.step("with a certificate, installed again while somebody asks: an api answers all the time"):
            self.machine.shell(
                "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext"
                " subjectAltName=IP:127.0.0.1 -keyout /root/key.pem -out /root/certificate.pem 2>/dev/null"
            )
            self.asked_all_the_time(lambda: self.install(2, 2))
            self.settings("OPENVPS_TLS_CERTIFICATE=/root/certificate.pem\nOPENVPS_TLS_KEY=/root/key.pem\n")
            self.install(2, 2)
            url = f"https://127.0.0.1:{PORTS[0]}/api/v1/servers/"
            bearer = f"Authorization: Bearer {self.token}"
            self.machine.run("curl", "-sf", "--cacert", "/root/certificate.pem", "-H", bearer, "-o", "/dev/null", url)
        with self.seen.step("each key is read by the processes that need it, and by no other user") as notes:
            self.machine.shell(
                "/opt/openvps/bin/python -c 'from openvps.core import settings;"
                " from openvps.ops import client_certificate; client_certificate.ensure(settings.load())'"
            )
            key = self.machine.shell("ls /var/lib/openvps/cells/*.key").strip()
            for user, file, may in (
                ("openvps-api", "/var/lib/openvps/tls/tls_key.pem", True),
                ("openvps-worker", "/var/lib/openvps/tls/tls_key.pem", False),
                ("openvps-api", key, False),
                ("openvps-db", key, False),
                ("openvps-worker", key, True),
                ("nobody", key, False),
            ):
                if self.reads(user, file) != may:
                    raise NotSeen(f"{user} {'may' if not may else 'may not'} read {file}")
            notes.append(self.machine.shell(f"stat -c '%n %U:%G %a' {key}").strip())
            self.settings("")
            self.install(2, 2)

    def rebooted(self) -> None:
        with self.seen.step("a reboot, with a PostgreSQL that comes a minute late") as notes:
            self.machine.run("systemctl", "disable", "--quiet", "postgresql")
            reboot(self.machine, whole=False)
            notes.append(self.machine.shell("systemctl is-system-running || true").strip())
        with self.seen.step("meanwhile the preparation tries again, and the server runs all the same") as notes:
            until(
                lambda: "again in" in self.machine.shell("journalctl -b -u openvps-prepare --no-pager"),
                "the unit tries again",
            )
            self.machine.shell(f"until {self.login} -o ConnectTimeout=1 true; do sleep 0.2; done 2>/dev/null", BACK_S)
            notes.append("logged in to, before any process of ours runs")
            if any(self.state(unit) == "active" for unit in UNITS):
                raise NotSeen("a process runs before its machine is prepared")
        with self.seen.step("with PostgreSQL everything starts, unasked") as notes:
            self.machine.run("systemctl", "enable", "--now", "--quiet", "postgresql")
            began = time.monotonic()
            until(lambda: all(self.state(unit) == "active" for unit in UNITS), "every unit is active")
            until(lambda: self.answers(PORTS[0]) and self.answers(PORTS[1]), "both answer")
            notes.append(f"{time.monotonic() - began:.1f} s")
            self.machine.shell(f"{self.login} test -e /root/kept")
            made = self.create("fifth")
            self.active(made)
            self.machine.run(OPENVPS, "audit", timeout_s=120)
            notes.extend(failed_units(self.machine))

    def removed(self) -> None:
        with self.seen.step("openvps service install --apis 1 --workers 1") as notes:
            self.install(1, 1)
            notes.extend(self.status(4))
        with self.seen.step("openvps service uninstall, and the server runs on") as notes:
            self.machine.run(OPENVPS, "service", "uninstall", timeout_s=180)
            if left := self.machine.shell(LEFT_OF_UNITS).strip():
                raise NotSeen(f"left: {left}")
            self.machine.shell(f"{self.login} test -e /root/kept")
            notes.append("logged in to")
        with self.seen.step("openvps down --purge --yes") as notes:
            self.install(1, 1)
            self.machine.run(OPENVPS, "down", "--purge", "--yes", timeout_s=300)
            if left := self.machine.shell(f"{LEFT_OF_UNITS}; {LEFT}").strip():
                raise NotSeen(f"left: {left}")
            notes.append("nothing is left, units neither")

    # how it is done

    def settings(self, more: str) -> None:
        self.machine.put((SETTINGS + more).encode(), "/etc/openvps/openvps.env")
        self.machine.run("chmod", "600", "/etc/openvps/openvps.env")

    def install(self, apis: int, workers: int) -> str:
        words = (OPENVPS, "service", "install", "--apis", str(apis), "--workers", str(workers))
        said = self.machine.shell(f"{' '.join(words)} 2>&1", timeout_s=INSTALL_S)
        self.log.write_text(said)
        return said

    def status(self, count: int = 6) -> list[str]:
        shown = json.loads(self.machine.run(OPENVPS, "service", "status", "--output", "json"))
        away = [one for one in shown if one["state"] != "active"]
        if away or len(shown) != count:
            raise NotSeen(f"units: {shown}")
        return [f"{len(shown)} units active"]

    def asked_all_the_time(self, work: Callable[[], Any]) -> None:
        """Ask one port and, where that doesn't answer, the other, as a proxy would, while something is done."""
        asks = [f"{shlex.join([*self.curl('GET', '/servers/', None, port), '-fo', '/dev/null'])}" for port in PORTS]
        one = f"{asks[0]} 2>/dev/null || {asks[1]} || echo missed >>/root/missed"
        self.machine.shell("rm -f /root/missed /root/enough")
        loop = f"while ! test -e /root/enough; do {one}; sleep 0.05; done"
        process = self.machine.start(loop, self.log.with_suffix(".asked"))
        try:
            work()
        finally:
            self.machine.shell("touch /root/enough")
            process.wait(30)
        if missed := self.machine.shell("cat /root/missed 2>/dev/null || true").split():
            raise NotSeen(f"{len(missed)} requests found no api")

    def create(self, name: str) -> int:
        body = {"name": name, "plan_id": 3, "os_id": 3, "location": "us-west"}
        return self.api("POST", "/servers/", body)["id"]

    def active(self, server: int) -> None:
        """Wait until a server is active, as the second api shows it, which may have been killed just now."""

        def look() -> bool:
            with contextlib.suppress(ProgramFailed):
                return self.api("GET", f"/servers/{server}/", port=PORTS[1])["status"] == "active"
            return False

        until(look, "it is active")

    def api(self, method: str, path: str, body: Any = None, *, port: int = PORTS[0]) -> Any:
        return json.loads(self.machine.run(*self.curl(method, path, body, port), "--fail-with-body"))

    def code(self, method: str, path: str, port: int = PORTS[0]) -> str:
        return self.machine.run(*self.curl(method, path, None, port), "-o", "/dev/null", "-w", "%{http_code}")

    def curl(self, method: str, path: str, body: Any, port: int) -> list[str]:
        sent = ["-H", "Content-Type: application/json", "-d", json.dumps(body)] if body else []
        url = f"http://127.0.0.1:{port}/api/v1{path}"
        return ["curl", "-sS", "-m", "20", "-X", method, "-H", f"Authorization: Bearer {self.token}", *sent, url]

    def answers(self, port: int) -> bool:
        try:
            return self.code("GET", "/servers/", port) == "200"
        except ProgramFailed:
            return False

    def reads(self, user: str, file: str) -> bool:
        """Whether a user may read a file, with the groups that its process has."""
        line = f"runuser -u {user} -- cat {file} >/dev/null 2>&1 && echo yes || true"
        return self.machine.shell(line).strip() == "yes"

    def pid(self, unit: str) -> int:
        return int(self.machine.run("systemctl", "show", "--value", "--property=MainPID", unit))

    def state(self, unit: str) -> str:
        return self.machine.run("systemctl", "show", "--value", "--property=ActiveState", unit).strip()

    def found(self, pattern: str, said: str) -> str:
        found = re.search(pattern, said)
        if found is None:
            raise NotSeen(f"{pattern} isn't in: {said[-2000:]}")
        return found[1]
