"""A real server gets another plan, has its power cut, and is waited for instead of asked again and again."""

import time
from typing import Any

import pytest
from customer import Customer

pytestmark = pytest.mark.live

SIZES = "nproc; grep MemTotal /proc/meminfo | tr -dc 0-9"
FILL = "fallocate -l 2200M /big && rm /big"  # more than the smallest plan's 2 GB


def sizes(customer: Customer, server: dict[str, Any]) -> list[int]:
    """Return what the server itself sees: CPUs and KiB of memory."""
    return [int(word) for word in customer.ssh(server, SIZES).split()]


def grown(customer: Customer, server: dict[str, Any], wanted: list[int]) -> bool:
    """Whether the running server sees its new sizes within two seconds: Incus hands CPUs out a moment later."""
    end = time.monotonic() + 2
    while (seen := sizes(customer, server)) != wanted and time.monotonic() < end:
        pass
    return seen == wanted


def resize(customer: Customer, server: dict[str, Any], plan: int) -> dict[str, Any]:
    answer = customer.http("POST", f"/servers/{server['id']}/resize/", {"plan_id": plan})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ended(customer: Customer, action_id: int) -> dict[str, Any]:
    """Wait for an action with one request."""
    answer = customer.http("GET", f"/actions/{action_id}/?wait=25")
    assert answer.json()["status"] == "completed", answer.text
    return answer.json()


def test_a_server_grows_while_it_runs_and_shrinks_by_a_restart_that_was_announced(customer: Customer) -> None:
    server = customer.until(customer.create(plan_id=100)["id"], "active")
    assert sizes(customer, server) == [1, 256 * 1024]
    assert customer.try_ssh(server, FILL)[0] != 0
    boot = customer.boot_id(server)
    answer = resize(customer, server, 101)
    assert answer["restart"] is False
    ended(customer, answer["action_id"])
    assert customer.get(server["id"])["plan"]["name"] == "small"
    assert grown(customer, server, [2, 512 * 1024])
    customer.ssh(server, FILL)
    assert customer.boot_id(server) == boot
    customer.ssh(server, "echo kept > /root/kept; sync")

    answer = resize(customer, server, 102)
    assert answer["restart"] is True
    ended(customer, answer["action_id"])
    customer.up_again(server)
    assert sizes(customer, server) == [1, 256 * 1024]
    customer.ssh(server, FILL)
    assert customer.boot_id(server) != boot
    assert customer.ssh(server, "cat /root/kept") == "kept\n"
    assert customer.http("POST", f"/servers/{server['id']}/resize/", {"plan_id": 100}).status_code == 400


def test_a_create_is_waited_for_with_one_request_and_login_succeeds_then(customer: Customer) -> None:
    created = customer.create()
    answer = customer.http("GET", f"/servers/{created['id']}/?wait=25")
    assert answer.json()["status"] == "active"
    assert customer.ssh(answer.json(), "echo in") == "in\n"
    [action] = customer.http("GET", f"/servers/{created['id']}/actions/").json()["results"]
    assert (action["kind"], action["status"], action["progress"]) == ("server.create", "completed", 100)


def test_cutting_the_power_asks_nobody(customer: Customer, server: dict[str, Any]) -> None:
    customer.ssh(
        server,
        "printf '[Service]\\nExecStart=/bin/sleep infinity\\nExecStop=/bin/sleep 100\\n' "
        "> /run/systemd/system/slow.service && systemctl daemon-reload && systemctl start slow",
    )
    customer.post(server, "stop")
    began = time.monotonic()
    answer = customer.http("POST", f"/servers/{server['id']}/power/", {"action": "hard_stop"})
    assert answer.status_code == 200, answer.text
    ended(customer, answer.json()["action_id"])
    assert time.monotonic() - began < 15
    assert customer.agrees(server["id"])
    assert customer.get(server["id"])["status"] == "stopped"


def test_a_deletes_action_ends_when_nothing_is_left(customer: Customer, server: dict[str, Any]) -> None:
    answer = customer.http("DELETE", f"/servers/{server['id']}/")
    where = answer.headers["Location"]
    done = customer.http("GET", f"{where}?wait=25").json()
    assert done["status"] == "completed"
    assert f"vps-{server['id']}" not in customer.machines()
