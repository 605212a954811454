"""What a server uses is what is shown: known bytes, a busy CPU, a filling disk, across a reboot; all with one."""

import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from customer import Customer

pytestmark = pytest.mark.live

MB = 10**6
SENT_MB, RECEIVED_MB, AGAIN_MB, FILLED_MB = 60, 40, 30, 400
BUSY_S = 4  # of CPU, however long it takes to get them
NEAR = 0.02
BUSY = f"(ulimit -t {BUSY_S}; while :; do :; done) 2>/dev/null || true"
FILL = f"head -c {FILLED_MB * MB} /dev/urandom > /srv/fill && sync"


@pytest.fixture
def shown(customer: Customer, server: dict[str, Any]) -> Callable[[str], float]:
    """Return what asks for the sum of a measure of the server."""

    def ask(metric: str) -> float:
        answer = customer.http("GET", f"/servers/{server['id']}/metrics/?metric={metric}")
        assert answer.status_code == 200, answer.text
        return sum(one["value"] for one in answer.json()["values"])

    return ask


def send(customer: Customer, server: dict[str, Any], megabytes: int) -> None:
    """Send the server so much that nothing on the way makes smaller."""
    command = customer.login(server["ip_address"], "cat > /dev/null")
    subprocess.run(command, input=os.urandom(megabytes * MB), check=True, timeout=60)


def near(seen: float, megabytes: int) -> bool:
    return abs(seen - megabytes * MB) <= NEAR * megabytes * MB


def test_what_a_server_uses_is_what_is_shown(
    customer: Customer, server: dict[str, Any], shown: Callable[[str], float]
) -> None:
    number = server["id"]
    customer.eventually(lambda: customer.get(number)["resource_usage"]["disk_used"] is not None)
    before = {metric: shown(metric) for metric in ("received", "sent")}
    cpu = "SELECT sum(cpu_seconds) FROM usage_minute WHERE server_id = %s"
    [(cpu_s,)] = customer.rows(cpu, number)

    send(customer, server, RECEIVED_MB)
    customer.ssh(server, f"head -c {SENT_MB * MB} /dev/zero")
    customer.ssh(server, f"{BUSY}; {FILL}", timeout_s=90)
    customer.eventually(lambda: near(shown("received") - before["received"], RECEIVED_MB))
    customer.eventually(lambda: near(shown("sent") - before["sent"], SENT_MB))
    customer.eventually(lambda: customer.get(number)["resource_usage"]["disk_used"] * 1000 >= FILLED_MB)
    assert customer.get(number)["resource_usage"]["disk_used"] * 1000 < FILLED_MB + 25  # the system writes too
    customer.eventually(lambda: customer.rows(cpu, number)[0][0] - cpu_s >= BUSY_S)
    assert customer.rows(cpu, number)[0][0] - cpu_s < 2 * BUSY_S  # of which logins and the filling are some
    assert customer.get(number)["resource_usage"]["bandwidth_used"] >= SENT_MB / 1000

    customer.post(server, "reboot")
    customer.up_again(server)
    send(customer, server, AGAIN_MB)
    customer.eventually(lambda: near(shown("received") - before["received"], RECEIVED_MB + AGAIN_MB))
    assert shown("sent") >= before["sent"] + SENT_MB * MB
