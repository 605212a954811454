"""Terminals on a real server: typed into and answered by its login, and ended within five seconds when they must."""

import contextlib
import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from customer import Customer
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from lab import Lab

pytestmark = pytest.mark.live

ENDS_WITHIN_S = 5


class Screen:
    """One terminal, read and typed into."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.text = ""
        self.why = ""

    def until(self, wanted: Callable[["Screen"], bool], timeout_s: float = 20) -> float:
        """Read until something is there; returns the seconds that it took."""
        began = time.monotonic()
        while not wanted(self):
            left_s = began + timeout_s - time.monotonic()
            try:
                said = self.socket.recv(left_s)
            except TimeoutError:
                raise AssertionError(f"not in {timeout_s} s: {self.text[-500:]!r} {self.why!r}") from None
            except ConnectionClosed:
                assert wanted(self), f"closed: {self.text[-500:]!r} {self.why!r}"
                break
            if isinstance(said, bytes):
                self.text += said.decode(errors="replace")
            else:
                self.why = json.loads(said).get("closed", self.why)
        return time.monotonic() - began

    def shows(self, text: str) -> float:
        return self.until(lambda screen: text in screen.text)

    def knock(self, text: str) -> None:
        """Press Enter until something is shown: what is typed while Incus still attaches is lost, as on any line."""
        for _ in range(20):
            self.type("")
            with contextlib.suppress(AssertionError):
                self.until(lambda screen: text in screen.text, 1)
                return
        self.shows(text)

    def repeats(self, line: str, text: str) -> None:
        """Type a line until its answer is there: what it asks about comes by another way than what is typed."""
        for _ in range(20):
            self.type(line)
            with contextlib.suppress(AssertionError):
                self.until(lambda screen: text in screen.text, 1)
                return
        self.shows(text)

    def ends(self) -> float:
        return self.until(lambda screen: bool(screen.why))

    def type(self, line: str) -> None:
        self.socket.send(f"{line}\r".encode())


def ticket(http: httpx2.Client, number: int) -> Any:
    answer = http.post(f"/servers/{number}/console/")
    assert answer.status_code == 201, answer.text
    return answer.json()


@contextmanager
def a_terminal(http: httpx2.Client, number: int) -> Generator[Screen]:
    given = ticket(http, number)
    with connect(given["url"], proxy=None) as socket:
        socket.send(json.dumps({"ticket": given["ticket"]}))
        assert json.loads(socket.recv(10)) == {"open": True}
        yield Screen(socket)


@pytest.fixture
def http(lab: Lab) -> Iterator[httpx2.Client]:
    """Return requests with a token of their own, which a test may revoke."""
    headers = {"Authorization": f"Bearer {lab.token}"}
    with httpx2.Client(base_url=lab.url, headers=headers, timeout=30) as operator:
        made = operator.post(
            "/tokens/", json={"name": "terminal", "permissions": ["servers:*", "tokens:write"]}
        ).json()
        with httpx2.Client(
            base_url=lab.url, headers={"Authorization": f"Bearer {made['token']}"}, timeout=30
        ) as http:
            http.headers["X-Token-Id"] = str(made["id"])
            yield http
        operator.delete(f"/tokens/{made['id']}/")


def test_root_logs_in_at_the_terminal_and_it_ends_when_it_must(
    customer: Customer, server: dict[str, Any], http: httpx2.Client
) -> None:
    number = server["id"]
    password = http.post(f"/servers/{number}/reset-password/").json()
    assert http.get(f"/actions/{password['action_id']}/?wait=20").json()["status"] == "completed"
    with a_terminal(http, number) as screen:
        screen.knock("login: ")
        screen.type("root")
        screen.shows("Password: ")
        screen.type(password["password"])
        screen.shows(":~# ")
        screen.type("echo uid=$(id -u) host=$(hostname)")
        screen.shows(f"uid=0 host={server['hostname']}")
        for columns, rows in ((132, 43), (90, 20)):  # the shell is told as its window changes
            screen.socket.send(json.dumps({"size": [columns, rows]}))
            screen.repeats("stty size", f"\r{rows} {columns}\r")
        for nonsense in ('{"size": [0, 0]}', '{"size": "large"}', '{"size":'):
            screen.socket.send(nonsense)
        screen.type("echo still-$((40 + 1))")
        screen.shows("still-41")
        # whoever comes later takes it over, and finds the shell that was left open
        with a_terminal(http, number) as later:
            assert screen.ends() < ENDS_WITHIN_S
            assert "elsewhere" in screen.why
            later.knock(":~# ")
            later.type("echo still=$((40 + 2))")
            later.shows("still=42")
            assert http.delete(f"/tokens/{http.headers['X-Token-Id']}/").status_code == 204
            took_s = later.ends()
            assert took_s < ENDS_WITHIN_S
    operator = httpx2.Client(base_url=customer.lab.url, headers={"Authorization": f"Bearer {customer.lab.token}"})
    with operator, a_terminal(operator, number) as last:
        assert operator.delete(f"/servers/{number}/").status_code == 204
        assert last.ends() < ENDS_WITHIN_S


def test_a_used_a_wrong_and_no_ticket_open_nothing(server: dict[str, Any], http: httpx2.Client) -> None:
    given = ticket(http, server["id"])
    for sent, opens in ((given["ticket"], True), (given["ticket"], False), ("wrong", False), ("", False)):
        with connect(given["url"], proxy=None) as socket:
            socket.send(json.dumps({"ticket": sent}))
            said = json.loads(socket.recv(10))
            assert ("open" in said) == opens, said
    with connect(given["url"], proxy=None) as socket:
        socket.send("no JSON")
        assert "No ticket" in json.loads(socket.recv(10))["closed"]


def test_another_sites_page_opens_nothing(server: dict[str, Any], http: httpx2.Client) -> None:
    given = ticket(http, server["id"])
    evil = Origin("http://evil.test")
    with pytest.raises(InvalidStatus, match="403"), connect(given["url"], proxy=None, origin=evil):
        pass
