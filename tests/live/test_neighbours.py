"""The tenant next door has root in their own server: what they try there stays there."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from customer import Customer

pytestmark = pytest.mark.live

CONNECT = "timeout 2 bash -c 'exec 3<>/dev/tcp/{}/{}' 2>/dev/null"


@pytest.fixture
def neighbour(customer: Customer) -> dict[str, Any]:
    return customer.until(customer.create(name="neighbour")["id"], "active")


@pytest.fixture
def listener() -> Iterator[int]:
    """Listen on every address of the host, as a careless service would; yields the port."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        server.settimeout(0.2)
        ended = threading.Event()

        def accept() -> None:
            while not ended.is_set():
                try:
                    server.accept()[0].close()
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1]
        ended.set()
        thread.join()


def test_uid_maps_are_disjoint_and_unprivileged(
    customer: Customer, server: dict[str, Any], neighbour: dict[str, Any]
) -> None:
    maps = [
        [int(word) for word in customer.ssh(one, "cat /proc/self/uid_map").split()] for one in (server, neighbour)
    ]
    (_, first, size), (_, second, _) = maps
    assert min(first, second) >= 100_000
    assert abs(first - second) >= size


def test_a_fork_bomb_leaves_the_neighbours_login_working(
    customer: Customer, server: dict[str, Any], neighbour: dict[str, Any]
) -> None:
    bomb = "nohup bash -c 'bomb() { bomb | bomb & }; bomb' >/dev/null 2>&1 </dev/null & sleep 3"
    customer.try_ssh(server, bomb, timeout_s=60)
    assert customer.ssh(neighbour, "echo fine") == "fine\n"
    assert customer.http("DELETE", f"/servers/{server['id']}/").status_code == 204
    customer.eventually(lambda: not customer.rows("SELECT 1 FROM server WHERE id = %s", server["id"]))


def test_neither_the_host_nor_the_neighbour_is_reached(
    customer: Customer, server: dict[str, Any], neighbour: dict[str, Any], listener: int
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((server["ip_address"], 9))
        facing = probe.getsockname()[0]
    with socket.create_connection((facing, listener), timeout=2):
        pass  # the bait is there
    for address in ("169.254.0.1", facing):
        assert customer.try_ssh(server, CONNECT.format(address, listener))[0] != 0, address
    assert customer.try_ssh(server, CONNECT.format(neighbour["ip_address"], 22))[0] != 0
    assert customer.try_ssh(server, CONNECT.format(neighbour["ipv6_address"], 22))[0] != 0
    assert customer.try_ssh(server, CONNECT.format("169.254.169.254", 80))[0] != 0
    assert customer.try_ssh(server, CONNECT.format(server["ip_address"], 22))[0] == 0  # the try itself works


def test_an_address_of_somebody_else_is_not_taken(
    customer: Customer, server: dict[str, Any], neighbour: dict[str, Any]
) -> None:
    stolen = neighbour["ip_address"]
    customer.ssh(server, f"ip address add {stolen}/32 dev eth0")
    assert customer.ssh(neighbour, "hostname") == "neighbour\n"
    assert customer.try_ssh(server, f"ping -I {stolen} -c 1 -W 1 169.254.0.1")[0] != 0
