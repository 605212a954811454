"""The lab's operator as a customer, as far as benches need one; and the operator's look into the database."""

import time
from typing import Any

import httpx2
import psycopg

from lab import Lab

POLL_S = 0.2
GONE_S = 300


class Account:
    """An account of a running OpenVPS, and the servers made with it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._made: list[int] = []
        self._http = httpx2.Client(
            base_url=lab.url, headers={"Authorization": f"Bearer {lab.token}"}, timeout=60, trust_env=False
        )

    def create(self, name: str, *, plan_id: int = 100) -> int:
        """Ask for a server, of the smallest plan; returns its id."""
        body = {"name": name, "plan_id": plan_id, "os_id": 3, "location": "us-west"}
        server: int = self._http.post("/servers/", json=body).raise_for_status().json()["id"]
        self._made.append(server)
        return server

    def post(self, path: str) -> dict[str, Any]:
        """Ask for something, and return the answer."""
        return self._http.post(path).raise_for_status().json()

    def get(self, server: int) -> dict[str, Any]:
        """Return a server as the API shows it."""
        return self._http.get(f"/servers/{server}/").raise_for_status().json()

    def until_active(self, server: int, timeout_s: float) -> None:
        """Wait until a server is active. Raises TimeoutError."""
        end = time.monotonic() + timeout_s
        while (shown := self.get(server))["status"] != "active":
            if time.monotonic() > end:
                raise TimeoutError(f"server {server} is {shown['status']} ({shown['error']})")
            time.sleep(POLL_S)

    def stop(self, server: int) -> None:
        """Shut a server down, and wait until it is stopped. Raises TimeoutError."""
        self._http.post(f"/servers/{server}/stop/").raise_for_status()
        end = time.monotonic() + GONE_S
        while self.get(server)["status"] != "stopped":
            if time.monotonic() > end:
                raise TimeoutError(f"server {server} isn't stopped")
            time.sleep(POLL_S)

    def clear(self) -> None:
        """Delete what was made, and wait until it is gone. Raises TimeoutError."""
        for server in self._made:
            self._http.delete(f"/servers/{server}/")
        end = time.monotonic() + GONE_S
        while left := self.rows("SELECT id FROM server WHERE id = ANY(%s)", self._made):
            if time.monotonic() > end:
                raise TimeoutError(f"{len(left)} servers aren't gone")
            time.sleep(POLL_S)
        self._made = []

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """Ask the database."""
        with psycopg.connect(self.lab.database_url) as conn:
            return conn.execute(statement.encode(), values).fetchall()
