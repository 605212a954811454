"""A real server's disk goes into the store, and comes back out of it: by us, and without us."""

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from customer import PATIENCE_S, Customer
from far import Far
from written import FEW, FILL, MANIFEST, SPARSE

pytestmark = pytest.mark.live


def ended(customer: Customer, answer: Any, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
    """Wait for the action of an answer."""
    assert answer.status_code in {200, 201}, answer.text

    def done() -> Any:
        action = customer.http("GET", f"/actions/{answer.json()['action_id']}/?wait=25").json()
        return action if action["finished_at"] else None

    action = customer.eventually(done, timeout_s=timeout_s)
    assert action["status"] == "completed", action
    return answer.json()


def restic(customer: Customer, *words: str) -> bytes:
    """Ask the store as its operator would without OpenVPS."""
    folder = Path(customer.lab.data_dir) / "backups"
    own = {"RESTIC_REPOSITORY": str(folder / "store"), "RESTIC_PASSWORD_FILE": str(folder / "key")}
    return subprocess.run(
        ["restic", "--no-cache", "--no-lock", *words],
        env={**os.environ, **own},
        capture_output=True,
        timeout=120,
        check=True,
    ).stdout


def test_a_backup_can_be_read_without_us_and_leaves_nothing_in_the_engine(
    customer: Customer, server: dict[str, Any]
) -> None:
    number = server["id"]
    customer.ssh(server, "mkdir /srv/data && echo mine > /srv/data/file && chmod 640 /srv/data/file; sync")
    backup = ended(customer, customer.http("POST", "/backups/", {"server_id": number}))
    shown = customer.http("GET", f"/backups/{backup['id']}/").json()
    assert (shown["status"], shown["error"]) == ("completed", None)
    assert shown["size_mb"] > 100
    with tarfile.open(
        fileobj=io.BytesIO(restic(customer, "dump", f"--tag=backup-{backup['id']}", "latest", "server.tar"))
    ) as tar:
        entry = tar.getmember("rootfs/srv/data/file")
        content = tar.extractfile(entry)
        assert content is not None
        assert (content.read(), entry.mode & 0o777, entry.uid) == (b"mine\n", 0o640, 0)
    assert f"backup-{backup['id']}" not in customer.incus("image", "list", "--format", "json")
    assert [name for name in customer.volumes(f"vps-{number}") if "backup" in name] == []
    assert customer.get(number)["status"] == "active"

    assert customer.http("DELETE", f"/backups/{backup['id']}/").status_code == 204
    customer.eventually(lambda: not customer.rows("SELECT 1 FROM backup WHERE id = %s", backup["id"]))
    assert restic(customer, "snapshots", "--json", "--tag", f"backup-{backup['id']}").strip() in {b"null", b"[]"}


def test_a_destroyed_server_is_restored_from_its_backup(customer: Customer, server: dict[str, Any]) -> None:
    number = server["id"]
    customer.ssh(server, FILL)
    before = customer.ssh(server, MANIFEST)
    assert "big" in before
    assert int(customer.ssh(server, SPARSE)) < FEW
    backup = ended(customer, customer.http("POST", f"/servers/{number}/backup/"))
    customer.ssh(server, "rm -rf /srv/data /usr/bin/sudo; echo later > /root/later; sync")
    answer = ended(customer, customer.http("POST", f"/backups/{backup['id']}/restore/"))
    assert answer["server"] == {"id": number, "name": server["name"], "status": "restoring"}
    customer.up_again(server)
    assert customer.ssh(server, MANIFEST) == before
    assert int(customer.ssh(server, SPARSE)) < FEW
    assert customer.try_ssh(server, "cat /root/later")[0] != 0
    assert customer.get(number)["ip_address"] == server["ip_address"]
    assert customer.try_ssh(server, "fallocate -l 2200M /big")[0] != 0
    # And it is proved: with all that was written above, in a machine that is gone afterwards.
    proved = ended(customer, customer.http("POST", f"/backups/{backup['id']}/verify/"), timeout_s=180)
    assert proved["verified_at"] is None
    shown = customer.http("GET", f"/backups/{backup['id']}/").json()
    assert (shown["verify_error"], shown["verified_at"] is None) == (None, False)
    customer.eventually(lambda: "verify-" not in customer.incus("list", "--format", "csv"))
    wanted = f"backup-{backup['id']}"
    customer.eventually(lambda: wanted not in customer.incus("image", "list", "--format", "json"))


def test_a_server_comes_back_from_the_store_alone_in_another_location(
    customer: Customer, server: dict[str, Any], far: Far
) -> None:
    customer.ssh(server, FILL)
    before = customer.ssh(server, MANIFEST)
    identity = customer.ssh(server, "cat /etc/machine-id")
    backup = ended(customer, customer.http("POST", f"/servers/{server['id']}/backup/"))
    customer.http("DELETE", f"/servers/{server['id']}/")
    customer.eventually(lambda: not customer.rows("SELECT 1 FROM server WHERE id = %s", server["id"]))
    shown = customer.http("GET", f"/backups/?server_id={server['id']}").json()
    assert [one["status"] for one in shown["results"]] == ["completed"]
    made = far.customer.create(location=far.name, name="again", os_id=None, backup_id=backup["id"])
    again = customer.until(made["id"], "active", 120)
    assert again["location"] == far.name
    customer.up_again(again)
    assert customer.ssh(again, MANIFEST) == before
    assert customer.ssh(again, "cat /etc/machine-id; hostname") == f"{identity}again\n"
    instances = json.loads(customer.incus("list", "--project", far.project, "--format", "json"))
    assert [one["name"] for one in instances] == [f"vps-{again['id']}"]
    assert set(instances[0]["devices"]) == {"root", "eth0"}
