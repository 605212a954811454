"""A real server is suspended when its account's credit is gone and runs again with it, by credit alone."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from customer import Customer, with_an_account_of_its_own

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

    book(payer, runs["id"], "-amount_micro")
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
