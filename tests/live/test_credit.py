"""A real server is suspended when its account's credit is gone and runs again with it, by credit alone."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest
from customer import Customer, with_an_account_of_its_own
from test_terminal import a_terminal

from lab import Lab

pytestmark = pytest.mark.live


@pytest.fixture
def payer(lab: Lab) -> Iterator[Customer]:
    payer = with_an_account_of_its_own(lab, credit=5)
    key = Path(f"{lab.key}.pub").read_text()
    assert payer.http("POST", "/ssh-keys/", {"name": "laptop", "public_key": key}).status_code == 201
    yield payer
    payer.clear()


def book(payer: Customer, server_id: int, change: str) -> None:
    """Enter an adjustment into the account's ledger; `change` is an expression of its balance."""
    with psycopg.connect(payer.lab.database_url) as conn:
        conn.execute(
            "INSERT INTO ledger_entry (account_id, amount_micro, kind, reference)"
            f" SELECT account_id, {change}, 'adjustment', gen_random_uuid() FROM ledger_total"
            " WHERE account_id = (SELECT account_id FROM server WHERE id = %s)".encode(),
            (server_id,),
        )


def test_a_server_is_suspended_and_started_again_by_credit_alone(payer: Customer) -> None:
    runs, off = (payer.until(payer.create()["id"], "active") for _ in range(2))
    payer.ssh(runs, "echo kept > /root/kept; sync")
    payer.post(off, "stop")
    payer.until(off["id"], "stopped")

    headers = {"Authorization": f"Bearer {payer.lab.token}"}
    with (
        httpx2.Client(base_url=payer.lab.url, headers=headers, timeout=30) as http,
        a_terminal(http, runs["id"]) as screen,
    ):
        screen.knock("login: ")
        book(payer, runs["id"], "-amount_micro")
        screen.until(lambda screen: bool(screen.why), timeout_s=30)  # the next look at who pays, and five seconds
        assert "may no longer" in screen.why
    for one in (runs, off):
        payer.until(one["id"], "suspended")
        payer.eventually(lambda one=one: payer.machines()[f"vps-{one['id']}"] == "Stopped")
    refused = payer.http("POST", f"/servers/{runs['id']}/start/")
    assert refused.status_code == 400
    assert "Add credit" in refused.json()["detail"]
    assert not payer.answers(runs)

    book(payer, runs["id"], "5000000")
    payer.up_again(payer.get(runs["id"]))
    assert payer.ssh(runs, "cat /root/kept") == "kept\n"
    payer.until(off["id"], "stopped")
    assert payer.machines()[f"vps-{off['id']}"] == "Stopped"


CLOSES_PORT_22 = "#cloud-boothook\n#!/bin/sh\nsystemctl mask --now ssh.socket ssh.service\n"


def test_who_closes_port_22_while_the_server_is_made_pays_for_it_until_it_is_off(payer: Customer) -> None:
    made = payer.create(user_data=CLOSES_PORT_22)
    name = f"vps-{made['id']}"
    payer.eventually(lambda: payer.machines().get(name) == "Running")
    paid = "SELECT count(*) FROM ledger_entry WHERE server_id = %s AND kind = 'hour' AND amount_micro < 0"
    payer.eventually(lambda: payer.rows(paid, made["id"]) == [(1,)])
    closed = ("sh", "-c", "readlink /etc/systemd/system/ssh.service || true")
    payer.eventually(lambda: payer.incus("exec", name, "--", *closed) == "/dev/null\n")
    assert payer.get(made["id"])["status"] == "provisioning"

    with psycopg.connect(payer.lab.database_url) as conn:  # its five minutes are over
        conn.execute("UPDATE server SET deadline_at = now() WHERE id = %s", (made["id"],))
    ended = payer.until(made["id"], "error")
    assert "too long" in ended["error"]
    payer.eventually(lambda: payer.machines()[name] == "Stopped")
    payer.eventually(lambda: payer.rows("SELECT due_at FROM meter WHERE server_id = %s", made["id"]) == [(None,)])
    assert payer.rows(paid, made["id"]) == [(1,)]
    assert payer.rows("SELECT 1 FROM ledger_hold WHERE reference = %s", f"server:{made['id']}") == []
