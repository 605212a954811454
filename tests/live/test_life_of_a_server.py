"""Real servers over HTTP and SSH: what was promised is what one logs in to."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from customer import BOOT_ID, Customer

pytestmark = pytest.mark.live


def test_login_succeeds_at_the_first_active_and_the_server_is_as_promised(customer: Customer) -> None:
    server = customer.create(name="web-1", plan_id=101, hostname="web-1.example.com")
    assert server["status"] == "provisioning"
    active = customer.until(server["id"], "active")
    said = customer.ssh(
        active,
        "hostname; nproc; grep MemTotal /proc/meminfo; ip -o addr show scope global; cat /root/.ssh/authorized_keys",
    )
    lines = said.splitlines()
    assert lines[0] == "web-1.example.com"
    assert lines[1] == "2"
    assert int(lines[2].split()[1]) == 512 * 1024
    assert f" {active['ip_address']}/" in said
    assert f" {active['ipv6_address']}/" in said
    assert customer.public_key in said
    customer.eventually(lambda: customer.try_ssh6(active, "echo here") == (0, "here\n"))


def test_the_memory_of_the_plan_is_a_hard_limit(customer: Customer, server: dict[str, Any]) -> None:
    code, said = customer.try_ssh(server, "python3 -c 'x = bytearray(300 << 20); print(len(x))'")
    assert (code, said) != (0, f"{300 << 20}\n")
    assert customer.ssh(server, "python3 -c 'print(len(bytearray(100 << 20)))'") == f"{100 << 20}\n"


def test_a_full_disk_ends_at_the_plans_storage_and_the_server_still_stops_starts_and_is_cleaned_up(
    customer: Customer, server: dict[str, Any]
) -> None:
    customer.try_ssh(server, "dd if=/dev/urandom of=/full bs=1M count=4000 2>/dev/null; sync", timeout_s=120)
    size = int(customer.ssh(server, "stat -c %s /full"))
    assert 1.0e9 < size < 2.0e9
    customer.post(server, "stop")
    customer.until(server["id"], "stopped")
    customer.post(server, "start")
    customer.up_again(server)
    customer.ssh(server, "rm /full && sync && echo again > /root/note && cat /root/note")


def test_stop_start_and_reboot_are_real(customer: Customer, server: dict[str, Any]) -> None:
    first = customer.boot_id(server)
    customer.ssh(server, "systemctl is-system-running --wait; echo kept > /root/kept; sync")
    customer.post(server, "reboot")
    customer.up_again(server)
    second = customer.boot_id(server)
    assert second != first
    customer.post(server, "stop")
    customer.until(server["id"], "stopped")
    assert not customer.answers(server)
    assert customer.http("POST", f"/servers/{server['id']}/stop/").status_code == 400
    assert customer.http("POST", f"/servers/{server['id']}/reboot/").status_code == 400
    customer.post(server, "start")
    customer.up_again(server)
    assert customer.boot_id(server) not in {first, second}
    assert customer.ssh(server, "cat /root/kept") == "kept\n"
    assert customer.http("POST", f"/servers/{server['id']}/start/").status_code == 400


def test_a_stop_that_the_guest_ignores_is_forced_after_the_grace_time(
    customer: Customer, server: dict[str, Any]
) -> None:
    customer.ssh(server, "systemctl mask halt.target poweroff.target && systemctl daemon-reload")
    began = time.monotonic()
    customer.post(server, "stop")
    customer.until(server["id"], "stopped")
    assert 7 < time.monotonic() - began < 30  # the lab's grace is 8 s


def test_rename_holds_after_the_next_boot(customer: Customer, server: dict[str, Any]) -> None:
    body = {"name": "renamed", "hostname": "renamed.example.com", "backups_enabled": False}
    assert customer.http("PUT", f"/servers/{server['id']}/", body).json()["name"] == "renamed"
    customer.post(server, "reboot")
    customer.up_again(server)
    assert customer.ssh(server, "hostname") == "renamed.example.com\n"


def test_a_power_off_from_inside_is_seen(customer: Customer, server: dict[str, Any]) -> None:
    customer.try_ssh(server, "poweroff")
    customer.until(server["id"], "stopped")
    customer.post(server, "start")
    customer.up_again(server)
    assert customer.ssh(server, "echo up") == "up\n"


def test_a_reboot_from_inside_leaves_it_active(customer: Customer, server: dict[str, Any]) -> None:
    before = customer.boot_id(server)
    customer.try_ssh(server, "reboot")

    def booted_anew() -> bool:
        code, said = customer.try_ssh(server, BOOT_ID)
        return code == 0 and said != before

    customer.eventually(booted_anew)
    assert customer.get(server["id"])["status"] == "active"


def test_a_new_password_logs_in(customer: Customer, server: dict[str, Any]) -> None:
    password = customer.http("POST", f"/servers/{server['id']}/reset-password/").json()["password"]
    customer.eventually(lambda: customer.password_works(server, password))
    assert not customer.password_works(server, "wrong-" + password)


def test_delete_leaves_nothing(customer: Customer) -> None:
    server = customer.until(customer.create()["id"], "active")
    assert customer.http("DELETE", f"/servers/{server['id']}/").status_code == 204
    assert customer.http("GET", f"/servers/{server['id']}/").status_code == 404
    customer.eventually(lambda: not customer.rows("SELECT 1 FROM server WHERE id = %s", server["id"]))
    assert customer.rows("SELECT 1 FROM address WHERE server_id = %s", server["id"]) == []
    assert customer.rows("SELECT 1 FROM ledger_hold WHERE reference = %s", f"server:{server['id']}") == []
    of_it = f"server:{server['id']}"  # its last job ends a moment after its row
    customer.eventually(lambda: not customer.rows("SELECT 1 FROM procrastinate_jobs WHERE lock = %s", of_it))
    assert f"vps-{server['id']}" not in customer.machines()
    assert customer.volumes(f"vps-{server['id']}") == []
    rests = customer.rows("SELECT rests_until > now() FROM address WHERE host(ip) = %s", server["ip_address"])
    assert rests == [(True,)]


def test_ten_at_once_are_all_there_and_alike_in_nothing_secret(customer: Customer) -> None:
    def made(number: int) -> dict[str, Any]:
        return customer.until(customer.create(name=f"many-{number}")["id"], "active")

    with ThreadPoolExecutor(10) as pool:
        active = list(pool.map(made, range(10)))
    assert len({one["ip_address"] for one in active}) == 10
    show = "cat /etc/machine-id; cat /etc/ssh/ssh_host_ed25519_key.pub; od -An -tx1 -N64 /dev/urandom"
    told = [customer.ssh(one, show).splitlines() for one in active]
    assert len({one[0] for one in told}) == 10
    assert len({one[1] for one in told}) == 10
    assert len({tuple(one[2:]) for one in told}) == 10
    for one in active:
        assert customer.ssh(one, "hostname") == one["hostname"] + "\n"


HOSTILE = "#!/bin/sh\ntouch /root/ran\n# {{ instance.name }} {% raw %} <&\"'\\\n# $(reboot) `id` \u2603\n"


def test_user_data_runs_as_it_was_sent_and_stays_inside(customer: Customer) -> None:
    server = customer.until(customer.create(user_data=HOSTILE)["id"], "active")
    customer.eventually(lambda: customer.try_ssh(server, "test -e /root/ran")[0] == 0)
    seen = customer.ssh(server, "cat /var/lib/cloud/seed/nocloud-net/user-data")
    assert seen == HOSTILE
    assert "user_data" not in json.dumps(customer.get(server["id"]))


def test_a_server_without_user_data_runs_no_cloud_init(customer: Customer, server: dict[str, Any]) -> None:
    assert customer.try_ssh(server, "test -e /var/lib/cloud/instance")[0] != 0
    assert customer.ssh(server, "systemctl --failed --no-legend") == ""


def test_usage_is_measured_under_a_known_load(customer: Customer, server: dict[str, Any]) -> None:
    def measured() -> Any:
        usage = customer.get(server["id"])["resource_usage"]
        return None not in usage.values() and usage

    idle = customer.eventually(measured)
    customer.ssh(server, "dd if=/dev/urandom of=/root/fill bs=1M count=500 2>/dev/null; sync", timeout_s=60)
    customer.ssh(
        server,
        "nohup python3 -c 'x = bytearray(120 << 20)\nwhile True: pass' >/dev/null 2>&1 </dev/null & echo started",
    )

    def loaded() -> Any:
        usage = customer.get(server["id"])["resource_usage"]
        return usage["cpu_percent"] > 40 and usage["memory_used"] > 110 and usage

    busy = customer.eventually(loaded)
    assert busy["cpu_percent"] <= 100
    assert 110 < busy["memory_used"] < 256
    assert busy["disk_used"] - idle["disk_used"] == pytest.approx(0.524, abs=0.06)


def test_the_engine_away_leaves_reads_and_loses_no_create(customer: Customer) -> None:
    with customer.engine_away():
        assert customer.http("GET", "/servers/").status_code == 200
        answer = customer.http("POST", "/servers/", customer.body())
        assert answer.status_code in {201, 503}
        assert answer.status_code == 201  # away for a moment: it queues
        customer.made.append(answer.json()["id"])
        time.sleep(1)
        assert customer.get(answer.json()["id"])["status"] == "provisioning"
    active = customer.until(answer.json()["id"], "active")
    assert customer.ssh(active, "echo here") == "here\n"


def test_a_lost_event_is_made_good_by_a_look(customer: Customer, server: dict[str, Any]) -> None:
    with psycopg.connect(customer.lab.database_url) as conn:
        conn.execute("UPDATE server SET status = 'active', wanted = 'running' WHERE id = %s", (server["id"],))
    customer.incus("stop", f"vps-{server['id']}", "--force")
    customer.eventually(lambda: customer.get(server["id"])["status"] in {"active", "stopped"})
    customer.eventually(lambda: customer.agrees(server["id"]))
