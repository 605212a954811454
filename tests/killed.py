"""Processes that die at a commit, and the goals they die on the way to."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from factories import Client
from running import Running, listening

MORTAL = str(Path(__file__).with_name("mortal.py"))


@dataclass(frozen=True)
class Kill:
    """When a process dies: at the n-th commit, right before or after it, of a function or of `any`."""

    at: int
    side: Literal["before", "after"]
    place: str = "any"

    def words(self, what: str, number: int) -> list[str]:
        return [sys.executable, "-P", MORTAL, what, str(self.at), self.side, self.place, str(number)]


def a_mortal_worker(log: Path, kill: Kill, server: int = 0, **environment: str) -> Running:
    """Return a started worker that dies at a commit of its looks at `server`, at any if 0."""
    return Running(kill.words("worker", server), log, environment).start()


def a_mortal_maker(log: Path, kill: Kill, backup: int) -> Running:
    """Return a started worker that dies at a commit of its looks at a backup."""
    return Running(kill.words("backups", backup), log).start()


def a_mortal_api(log: Path, port: int, kill: Kill, **environment: str) -> Running:
    """Return a started api that dies at a commit of a request that writes."""
    return Running(kill.words("api", 0), log, listening(port, environment)).start()


async def on_its_way(customer: Client, goal: str, server: int, **more: Any) -> int:
    """Ask for a goal and return the server, which is a new one for `create` and `again`.

    `verify`, `restore` and `again` are asked of a backup.
    """
    again = {"name": "again", "plan_id": 3, "backup_id": server, "location": "us-west"}
    asked: dict[str, tuple[str, str, Any]] = {
        "rebuild": ("POST", f"/servers/{server}/rebuild/", {"os_id": 3}),
        "verify": ("POST", f"/backups/{server}/verify/", None),
        "restore": ("POST", f"/backups/{server}/restore/", None),
        "again": ("POST", "/servers/", again),
        "create": ("POST", "/servers/", {"name": "web-1", "plan_id": 3, "os_id": 3, "location": "us-west"}),
        "resize": ("POST", f"/servers/{server}/resize/", {"plan": 2}),
        "delete": ("DELETE", f"/servers/{server}/", None),
    }
    method, path, body = asked.get(goal, ("POST", f"/servers/{server}/{goal}/", None))
    answer = await customer(method, path, body, **more)
    assert answer.is_success, answer.text
    return answer.json()["id"] if goal in {"create", "again"} else server
