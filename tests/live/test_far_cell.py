"""A cell over HTTPS, added by its operator's command: trusted exactly, and no trouble to others when silent."""

import base64
import contextlib
import grp
import json
import pwd
import subprocess
import time
from pathlib import Path

import httpx2
import pytest
from customer import Customer
from far import Far, Wire, listening, openvps
from test_terminal import a_terminal

from lab import Lab

pytestmark = pytest.mark.live

MANY = 60


def test_a_server_lives_on_a_cell_over_https_that_its_worker_noticed_by_itself(far: Far) -> None:
    customer = far.customer
    key, worker = Path(customer.lab.data_dir, "cells", "client.key").stat(), pwd.getpwnam("openvps-worker")
    assert (key.st_mode & 0o777, key.st_uid, key.st_gid) == (0o440, worker.pw_uid, worker.pw_gid)
    assert grp.getgrgid(worker.pw_gid).gr_mem in ([], ["openvps-console"]), "nobody but who speaks to engines"
    # No way leads from the worker to the server's port 22, as behind another host's NAT.
    table = f"openvps_{far.name}"
    rule = f"table ip {table} {{ chain out {{ type filter hook output priority 0; ip daddr {far.network} drop; }}; }}"
    subprocess.run(["nft", rule], check=True)
    try:
        server = customer.until(far.create(), "active", 40)
        assert not customer.answers(server)
    finally:
        subprocess.run(["nft", "delete", "table", "ip", table], check=True)
    assert customer.ssh(server, "nproc").strip() == "1"
    assert customer.incus("list", "--project", far.project, "--format", "csv", "-c", "n").strip() == (
        f"vps-{server['id']}"
    )
    headers = {"Authorization": f"Bearer {customer.lab.token}"}
    with (
        httpx2.Client(base_url=customer.lab.url, headers=headers, timeout=30) as http,
        a_terminal(http, server["id"]) as screen,
    ):
        screen.knock("login: ")  # over the cell's HTTPS, by the console process's own connection
    customer.post(server, "stop")
    customer.until(server["id"], "stopped")
    customer.post(server, "start")
    customer.up_again(server)
    customer.ssh(server, "poweroff")  # its event comes over the websocket
    customer.until(server["id"], "stopped")
    shown = json.loads(openvps("cell", "show", far.name, "-o", "json").stdout)
    assert (shown["servers"], shown["away_at"], shown["networks"]) == (1, None, [far.network])
    assert openvps("cell", "remove", far.name).returncode == 1


def test_a_cell_that_takes_connections_and_never_answers_delays_nobody(far: Far, customer: Customer) -> None:
    there = far.customer.until(far.create(), "active", 40)

    def create_and_stop() -> float:
        began = time.monotonic()
        server = customer.until(customer.create()["id"], "active", 60)
        customer.post(server, "stop")
        customer.until(server["id"], "stopped", 60)
        return time.monotonic() - began

    usual_s = create_and_stop()
    with far.wire.frozen():
        waiting = [far.create() for _ in range(MANY)]  # it was seen a moment ago: they wait for it
        assert create_and_stop() < 2 * usual_s + 3
        far.customer.eventually(lambda: far.customer.get(there["id"])["unreachable"])
        assert far.customer.get(there["id"])["status"] == "active"
        assert create_and_stop() < 2 * usual_s + 3
        for number in waiting:
            assert far.customer.http("DELETE", f"/servers/{number}/").status_code == 204
    far.customer.eventually(lambda: not far.customer.get(there["id"])["unreachable"])
    far.customer.post(there, "stop")
    far.customer.until(there["id"], "stopped")


def test_a_cell_with_another_certificate_than_the_tokens_is_told_nothing(lab: Lab) -> None:
    customer = Customer(lab)
    with contextlib.closing(Wire(listening(customer))) as wire:
        far = Far(customer, wire, "false")
        said = json.loads(base64.b64decode(far.token()))
        said["fingerprint"] = "0" * 64
        refused = far.add(base64.b64encode(json.dumps(said).encode()).decode())
    assert refused.returncode == 1
    assert "another certificate" in refused.stderr
    assert openvps("cell", "show", "false").returncode == 1
    assert said["secret"] not in customer.incus("config", "trust", "list", "--format", "json")
