"""A real server's disk goes into the store, and comes back out of it: by us, and without us."""

import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from customer import Customer

pytestmark = pytest.mark.live


def ended(customer: Customer, answer: Any) -> dict[str, Any]:
    """Wait for the action of an answer."""
    assert answer.status_code in {200, 201}, answer.text

    def done() -> Any:
        action = customer.http("GET", f"/actions/{answer.json()['action_id']}/?wait=25").json()
        return action if action["finished_at"] else None

    action = customer.eventually(done, timeout_s=90)
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
    customer.eventually(lambda: not customer.rows("SELECT 1 FROM backup WHERE id = %s", backup["id"]), timeout_s=60)
    assert restic(customer, "snapshots", "--json", "--tag", f"backup-{backup['id']}").strip() in {b"null", b"[]"}
