"""A customer with an account, a key and curl: asks over HTTP, logs in by SSH; and the operator's look behind."""

import json
import os
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psycopg

from lab import Lab
from openvps.accounts import tokens
from openvps.core.money import MICRO

T = TypeVar("T")

PATIENCE_S = 120.0  # for what takes seconds: the machine may have much else to do
OPTIONS = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": "/dev/null",
    "LogLevel": "ERROR",
    "ConnectTimeout": "5",
}


def _options(**changes: str) -> list[str]:
    return [word for name, value in {**OPTIONS, **changes}.items() for word in ("-o", f"{name}={value}")]


BOOT_ID = "stat -c %Y.%Z /proc/1; cut -d' ' -f22 /proc/1/stat"


@dataclass
class Customer:
    """The operator's account of the lab, and the servers that a test made with it."""

    lab: Lab
    made: list[int] = field(default_factory=list[int])

    def __post_init__(self) -> None:
        self._http = httpx2.Client(
            base_url=self.lab.url, headers={"Authorization": f"Bearer {self.lab.token}"}, timeout=30
        )

    @property
    def public_key(self) -> str:
        """The first two words of the account's key."""
        return " ".join(Path(f"{self.lab.key}.pub").read_text().split()[:2])

    # over HTTP

    def http(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        return self._http.request(method, path, json=body)

    def body(self, **fields: Any) -> dict[str, Any]:
        return {"name": "test", "plan_id": 100, "os_id": 3, "location": "us-west", **fields}

    def create(self, **fields: Any) -> dict[str, Any]:
        answer = self.http("POST", "/servers/", self.body(**fields))
        assert answer.status_code == 201, answer.text
        self.made.append(answer.json()["id"])
        return answer.json()

    def get(self, server_id: int) -> dict[str, Any]:
        answer = self.http("GET", f"/servers/{server_id}/")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, server: dict[str, Any], verb: str) -> None:
        answer = self.http("POST", f"/servers/{server['id']}/{verb}/")
        assert answer.status_code == 200, answer.text

    def until(self, server_id: int, status: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """Poll until the server has `status`."""
        began = time.monotonic()
        while (server := self.get(server_id))["status"] != status:
            assert time.monotonic() - began < timeout_s, f"still {server['status']} ({server['error']}), not {status}"
            time.sleep(0.05)
        return server

    def up_again(self, server: dict[str, Any]) -> None:
        """Wait until a server is active once more: its init is up, and sshd follows in a moment."""
        self.until(server["id"], "active")
        self.eventually(lambda: self.answers(server))

    def eventually(self, found: Callable[[], T], timeout_s: float = PATIENCE_S) -> T:
        """Ask until the answer is true."""
        began = time.monotonic()
        while not (answer := found()):
            assert time.monotonic() - began < timeout_s, "it never came true"
            time.sleep(0.2)
        return answer

    def clear(self) -> None:
        """Delete what the test made, and wait until it is gone."""
        for number in self.made:
            self.http("DELETE", f"/servers/{number}/")
        self.eventually(lambda: not self.rows("SELECT 1 FROM server WHERE id = ANY(%s)", self.made))
        self._http.close()

    # over SSH

    def try_ssh(self, server: dict[str, Any], command: str, timeout_s: float = 30) -> tuple[int, str]:
        return self._ssh(server["ip_address"], command, timeout_s)

    def ssh(self, server: dict[str, Any], command: str, timeout_s: float = 30) -> str:
        """Log in once, without a second try, and return what the command said."""
        code, said = self._ssh(server["ip_address"], command, timeout_s)
        assert code == 0, said
        return said

    def try_ssh6(self, server: dict[str, Any], command: str) -> tuple[int, str]:
        return self._ssh(server["ipv6_address"], command, 30)

    def _ssh(self, address: str, command: str, timeout_s: float) -> tuple[int, str]:
        done = subprocess.run(
            self.login(address, command),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return done.returncode, done.stdout + (done.stderr if done.returncode else "")

    def login(self, address: str, command: str) -> list[str]:
        """Return the command that logs in and runs another."""
        return ["ssh", "-i", str(self.lab.key), *_options(), f"root@{address}", command]

    def boot_id(self, server: dict[str, Any]) -> str:
        """Return what differs from boot to boot: when the guest's init was started."""
        return self.ssh(server, BOOT_ID)

    def answers(self, server: dict[str, Any]) -> bool:
        try:
            with socket.create_connection((server["ip_address"], 22), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def password_works(self, server: dict[str, Any], password: str) -> bool:
        options = _options(BatchMode="no", PubkeyAuthentication="no", NumberOfPasswordPrompts="1")
        askpass = Path(self.lab.data_dir).parent / f"askpass-{server['id']}"
        askpass.write_text(f"#!/bin/sh\necho '{password}'\n")
        askpass.chmod(0o700)
        done = subprocess.run(
            ["setsid", "ssh", *options, f"root@{server['ip_address']}", "echo in"],
            env={**os.environ, "SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        askpass.unlink()
        return done.stdout == "in\n"

    # behind

    def rows(self, statement: str, *values: Any) -> list[Any]:
        with psycopg.connect(self.lab.database_url) as conn:
            return conn.execute(statement.encode(), values).fetchall()

    def incus(self, *arguments: str) -> str:
        return subprocess.run(
            ["incus", "--project", self.lab.project, *arguments],
            env={**os.environ, "INCUS_DIR": str(Path(self.lab.socket).parent)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            stdin=subprocess.DEVNULL,
        ).stdout

    def machines(self) -> dict[str, str]:
        """Return the status of each machine by its name."""
        return {one["name"]: one["status"] for one in json.loads(self.incus("list", "--format", "json"))}

    def volumes(self, name: str) -> list[str]:
        """Return the names of a server's disk and of all that was made of it; vps-1 has none of vps-12's."""
        listed = json.loads(self.incus("storage", "volume", "list", self.lab.pool, "--format", "json"))
        return [one["name"] for one in listed if re.search(rf"{name}(?!\d)", one["name"])]

    def agrees(self, server_id: int) -> bool:
        """Whether row and machine say the same."""
        runs = self.machines()[f"vps-{server_id}"] == "Running"
        return self.get(server_id)["status"] == ("active" if runs else "stopped")

    @contextmanager
    def engine_away(self) -> Generator[None]:
        """Freeze the engine's daemon, so that calls of it hang."""
        pid = subprocess.run(
            ["pgrep", "-f", f"incusd.*{Path(self.lab.socket).parent}"], capture_output=True, text=True, check=False
        ).stdout.split()
        pids = pid or _daemon_of(self.lab.socket)
        assert pids, "the lab's daemon wasn't found"
        subprocess.run(["kill", "-STOP", *pids], check=True)
        try:
            yield
        finally:
            subprocess.run(["kill", "-CONT", *pids], check=True)


def with_an_account_of_its_own(lab: Lab, *, credit: int) -> Customer:
    """Return a new account's customer."""
    token = tokens.make()
    with psycopg.connect(lab.database_url) as conn:
        row = conn.execute(
            "INSERT INTO account (email) VALUES (%s) RETURNING id", (f"{secrets.token_hex(8)}@example.com",)
        ).fetchone()
        assert row is not None
        conn.execute(
            "INSERT INTO token (account_id, name, digest, permissions) VALUES (%s, 'test', %s, '{*:*}')",
            (row[0], tokens.digest(token)),
        )
        if credit:
            conn.execute(
                "INSERT INTO ledger_entry (account_id, amount_micro, kind, reference) VALUES (%s, %s, 'credit', 't')",
                (row[0], credit * MICRO),
            )
    return Customer(replace(lab, token=token))


def _daemon_of(path: str) -> list[str]:
    """Return the pids of the daemon whose INCUS_DIR holds the socket."""
    wanted = f"INCUS_DIR={Path(path).parent}".encode()
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"incusd" in (process / "cmdline").read_bytes() and wanted in (process / "environ").read_bytes().split(
                b"\0"
            ):
                found.append(process.name)
        except OSError:
            continue
    return found
