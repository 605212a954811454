"""A real server's disk is kept, changed and put back: its data as it was, and all else as it is now."""

from typing import Any

import pytest
from customer import Customer
from written import FILL as WRITTEN
from written import MANIFEST

pytestmark = pytest.mark.live

FILL = "fallocate -l 3200M /big"  # more than the larger plan's 3 GB
CHANGE = "echo newer > /root/note; rm -rf /srv/data; echo mine > /root/later; sync"


def ended(customer: Customer, answer: Any, status: str = "completed") -> dict[str, Any]:
    """Wait for the action of an answer."""
    assert answer.status_code in {200, 201}, answer.text
    action = customer.http("GET", f"/actions/{answer.json()['action_id']}/?wait=25").json()
    assert action["status"] == status, action
    return answer.json()


def test_a_running_server_is_put_back_after_a_resize_and_keeps_what_it_was_promised(
    customer: Customer, server: dict[str, Any]
) -> None:
    number = server["id"]
    customer.ssh(
        server, "mkdir /srv/data && echo old > /srv/data/file && chmod 640 /srv/data/file; echo note > /root/note"
    )
    customer.ssh(server, WRITTEN)
    before = customer.ssh(server, MANIFEST)
    snapshot = ended(customer, customer.http("POST", "/snapshots/", {"server_id": number, "name": "before"}))
    assert customer.http("GET", f"/snapshots/{snapshot['id']}/").json()["status"] == "completed"
    customer.ssh(server, CHANGE)
    ended(customer, customer.http("POST", f"/servers/{number}/resize/", {"plan_id": 101}))
    assert customer.http("PATCH", f"/servers/{number}/", {"hostname": "later.example.com"}).status_code == 200
    boot = customer.boot_id(server)

    ended(customer, customer.http("POST", f"/snapshots/{snapshot['id']}/restore/"))
    customer.up_again(server)
    assert customer.boot_id(server) != boot
    seen = customer.ssh(
        server, "cat /srv/data/file /root/note; stat -c %a /srv/data/file; ls /root/later 2>&1; hostname"
    )
    assert seen.splitlines()[:3] == ["old", "note", "640"]
    assert "No such file" in seen.splitlines()[3]
    assert customer.ssh(server, MANIFEST) == before
    assert seen.splitlines()[4] == "later.example.com"
    assert customer.ssh(server, "nproc; grep MemTotal /proc/meminfo | tr -dc 0-9").split() == ["2", str(512 * 1024)]
    customer.ssh(server, "fallocate -l 2200M /big && rm /big")
    assert customer.try_ssh(server, FILL)[0] != 0
    customer.ssh(server, "rm -f /big")
    assert customer.get(number)["ip_address"] == server["ip_address"]

    assert customer.http("DELETE", f"/snapshots/{snapshot['id']}/").status_code == 204
    customer.eventually(lambda: not customer.rows("SELECT 1 FROM snapshot WHERE server_id = %s", number))
    assert [name for name in customer.volumes(f"vps-{number}") if "snap" in name] == []


def test_a_stopped_server_is_put_back_and_stays_off(customer: Customer, server: dict[str, Any]) -> None:
    number = server["id"]
    snapshot = ended(customer, customer.http("POST", f"/servers/{number}/snapshot/", {"label": "as it ran"}))
    customer.ssh(server, CHANGE)
    customer.post(server, "stop")
    customer.until(number, "stopped")
    ended(customer, customer.http("POST", f"/snapshots/{snapshot['id']}/restore/"))
    assert customer.get(number)["status"] == "stopped"
    assert customer.agrees(number)
    customer.post(server, "start")
    customer.up_again(server)
    assert customer.try_ssh(server, "cat /root/later")[0] != 0
    assert customer.try_ssh(server, "fallocate -l 2200M /big")[0] != 0  # its disk is as small as before


def test_a_rebuilt_server_is_fresh_and_its_key_opens_it_at_its_address(
    customer: Customer, server: dict[str, Any]
) -> None:
    number = server["id"]
    customer.ssh(server, CHANGE)
    machine_id = customer.ssh(server, "cat /etc/machine-id")
    ended(customer, customer.http("POST", f"/servers/{number}/rebuild/", {"os_id": 3}))
    assert customer.get(number)["status"] == "active"
    assert customer.get(number)["ip_address"] == server["ip_address"]
    assert customer.ssh(server, "ls /root; hostname") == f"{server['hostname']}\n"
    assert customer.ssh(server, "cat /etc/machine-id") != machine_id
    assert customer.try_ssh(server, "fallocate -l 2200M /big")[0] != 0
