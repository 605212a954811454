"""`vps-mcp` 0.1.0 from PyPI, unmodified, over its own transport: a client written for VPS.org finds what it knows.

Its environment is `VPS_API_TOKEN` and `VPS_API_URL`. By its source, it sends, and reads of the answers:

- `GET /servers/?page=&page_size=`, a listing (`count`, `next`, `previous`, `results`). Of a server it reads
  `hostname, uuid, status, ipv4_addresses, ipv6_addresses, location_name, plan_name, os_name, deployed, created_at,
  password`; without `location_name`, `plan_name`, `os_name` it looks for objects under
  `location`, `plan`, `operating_system`.
- `POST /servers/` `{"hostname", "location": <integer>, "plan": <UUID>, "os_version": <UUID>, "ssh_keys"?: [<UUID>]}`:
  no `name`.
- `POST /servers/<UUID>/power/` `{"action": start|stop|restart|hard_stop}`; `POST …/resize/` `{"plan": <UUID>}`, whose
  answer it shows key by key: an object. `DELETE /servers/<UUID>/`: 204.
- `GET /plans/` (`uuid, ram, ram_unit, cpu, disk_space, transfer, monthly_price` else `price, hourly_price`),
  `GET /locations/` (`id, name, country_name, country_code, is_active`), `GET /operating-systems/` (`uuid, name`,
  `versions` of `uuid, name`): listings or bare arrays, never asked for a second page.
- `GET, POST /ssh-keys/` `{"name", "public_key"}`, `DELETE /ssh-keys/<UUID>/` (`uuid, name, fingerprint, created_at,
  last_used_at`).
- A POST without a body has `Content-Type: application/json`. It follows no redirect. Of a refusal it shows `detail`,
  else each field's list of texts.
- It also has tools for domains (`/domains/…`), which is no part of our contract, and for backups, snapshots and DNS.
"""

import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import anyio
import pytest
from customer import Customer, with_an_account_of_its_own
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.types import TextContent

from lab import Lab

pytestmark = [pytest.mark.live, pytest.mark.anyio]

PROGRAM = Path(sys.prefix) / "clients" / "bin" / "vps-mcp"  # see script/bootstrap
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@dataclass
class Assistant:
    """A program that uses vps-mcp's tools."""

    session: ClientSession

    async def __call__(self, tool: str, **arguments: Any) -> str:
        result = await self.session.call_tool(tool, arguments)
        (content,) = result.content
        assert isinstance(content, TextContent)
        assert not result.isError, content.text
        return content.text


@asynccontextmanager
async def assistant(lab: Lab, log: TextIO) -> AsyncGenerator[Assistant]:
    """Start vps-mcp as an assistant does, and end it. Not a fixture: its scopes are its task's."""
    settings = {"VPS_API_TOKEN": lab.token, "VPS_API_URL": lab.url, "NO_PROXY": "127.0.0.1"}
    program = StdioServerParameters(command=str(PROGRAM), env=settings)
    async with stdio_client(program, errlog=log) as (answers, requests), ClientSession(answers, requests) as session:
        await session.initialize()
        yield Assistant(session)


@pytest.fixture
def customer(lab: Lab) -> Iterator[Customer]:
    customer = with_an_account_of_its_own(lab, credit=100)
    yield customer
    customer.clear()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TextIO]:
    with (tmp_path / "vps-mcp.log").open("w") as log:
        yield log


def after(label: str, text: str) -> str:
    """Return what stands after a label in what a tool said."""
    found = re.search(rf"^\s*{re.escape(label)}: (.+)$", text, re.MULTILINE)
    assert found, f"no {label} in {text}"
    return found[1]


def entry(head: str, text: str) -> str:
    """Return the entry of a list that begins with `head`."""
    (found,) = [one for one in text.split("\n\n") if one.startswith(head)]
    return found


async def test_it_is_the_published_program() -> None:
    command = [str(PROGRAM.parent / "python"), "-c", "import importlib.metadata as m; print(m.version('vps-mcp'))"]
    done = await anyio.run_process(command)
    assert done.stdout == b"0.1.0\n"


async def test_it_finds_what_a_create_needs(customer: Customer, log: TextIO) -> None:
    async with assistant(customer.lab, log) as tool:
        plan = entry("Plan: 2048 MB", await tool("list_plans"))
        location = await tool("list_locations")
        systems = await tool("list_operating_systems")
    assert re.search(rf"UUID: {UUID}", plan)
    assert (after("CPU", plan), after("RAM", plan), after("Disk", plan)) == ("1 vCPUs", "2048 MB", "40 GB")
    assert (after("Transfer", plan), after("Price", plan), after("Hourly", plan)) == (
        "1024 GB",
        "$5.00/mo",
        "$0.007/hr",
    )
    assert after("Location", location) == "US West"
    assert int(after("ID", location)) > 0
    assert (after("Country", location), after("Active", location)) == ("United States (US)", "True")
    assert re.search(rf"Version: Debian 12 \(UUID: {UUID}\)", entry("OS: Debian", systems))
    assert "?" not in plan + location + systems


async def test_it_adds_lists_and_deletes_keys(customer: Customer, log: TextIO) -> None:
    async with assistant(customer.lab, log) as tool:
        assert await tool("list_ssh_keys") == "No results found."
        added = await tool("add_ssh_key", name="work-laptop", public_key=customer.public_key)
        assert added.startswith("SSH key added.")
        assert (after("SSH Key", added), after("Fingerprint", added)[:7]) == ("work-laptop", "SHA256:")
        assert re.fullmatch(TIME, after("Created", added))
        refused = await tool("add_ssh_key", name="again", public_key=customer.public_key)
        assert refused.startswith("Error (400):\n  public_key: ")
        number = after("UUID", added)
        assert f"UUID: {number}" in await tool("list_ssh_keys")
        assert await tool("delete_ssh_key", ssh_key_uuid=number) == f"SSH key {number} deleted."
        assert (await tool("delete_ssh_key", ssh_key_uuid=number)).startswith("Error (404): ")


async def test_a_server_lives_through_every_tool(customer: Customer, log: TextIO) -> None:
    async with assistant(customer.lab, log) as tool:
        key = after("UUID", await tool("add_ssh_key", name="laptop", public_key=customer.public_key))
        await tool("add_ssh_key", name="not for this one", public_key=_another_key(log))
        plan, larger = (_uuid_of_plan(customer, number) for number in (100, 101))
        system = re.search(rf"Version: Debian 12 \(UUID: ({UUID})\)", await tool("list_operating_systems"))
        assert system
        created = await tool(
            "create_server",
            hostname="mcp-1.example.com",
            location_id=int(after("ID", await tool("list_locations"))),
            plan_uuid=plan,
            os_version_uuid=system[1],
            ssh_key_ids=[key],
        )
        assert created.startswith("Server creation initiated.\n\nServer: mcp-1.example.com\n"), created
        uuid = after("UUID", created)
        number = customer.http("GET", f"/servers/{uuid}/").json()["id"]
        customer.made.append(number)
        assert (after("Status", created), after("Deployed", created)) == ("provisioning", "False")

        async def until(status: str) -> str:
            await anyio.to_thread.run_sync(customer.until, number, status, 60)
            return await tool("get_server", server_uuid=uuid)

        shown = await until("active")
        server = customer.get(number)
        assert (server["name"], after("Server", shown), after("UUID", shown)) == ("mcp-1", "mcp-1.example.com", uuid)
        assert (after("IPv4", shown), after("IPv6", shown)) == (server["ip_address"], server["ipv6_address"])
        assert (after("Location", shown), after("Plan", shown), after("OS", shown)) == (
            "US West",
            server["plan"]["name"],
            "Debian 12",
        )
        assert after("Deployed", shown) == "True"
        assert re.fullmatch(TIME, after("Created", shown))
        assert customer.ssh(server, "cat /root/.ssh/authorized_keys").split()[:2] == customer.public_key.split()
        assert customer.ssh(server, "grep -c ^ssh- /root/.ssh/authorized_keys") == "1\n"
        listed = await tool("list_servers")
        assert listed.endswith("Page 1 of 1 (1 total)")
        assert entry("Server: mcp-1.example.com", listed) == shown

        first = customer.boot_id(server)
        for action, status in (
            ("restart", "active"),
            ("stop", "stopped"),
            ("start", "active"),
            ("hard_stop", "stopped"),
        ):
            said = await tool("server_power", server_uuid=uuid, action=action)
            assert said == f"Power action '{action}' sent to server {uuid}."
            assert after("Status", await until(status)) == status
            if action == "restart":
                customer.up_again(server)
                assert customer.boot_id(server) != first
        assert (await tool("server_power", server_uuid=uuid, action="hard_stop")).startswith("Error (400): ")
        await tool("server_power", server_uuid=uuid, action="start")
        await until("active")

        resized = await tool("resize_server", server_uuid=uuid, new_plan_uuid=larger)
        assert resized.startswith(f"Resize initiated for server {uuid}.\n\n  status: success\n"), resized
        await anyio.to_thread.run_sync(
            customer.eventually,
            lambda: customer.get(number)["plan"]["id"] == 101 and customer.until(number, "active"),
            60,
        )
        customer.up_again(server)
        assert customer.ssh(server, "nproc") == "2\n"
        assert int(customer.ssh(server, "grep MemTotal /proc/meminfo").split()[1]) == 512 * 1024
        smaller = await tool("resize_server", server_uuid=uuid, new_plan_uuid=plan)
        assert smaller.startswith("Error (400):")

        assert await tool("delete_server", server_uuid=uuid) == f"Server {uuid} has been deleted."
        assert (await tool("get_server", server_uuid=uuid)).startswith("Error (404): ")
        assert await tool("list_servers") == "No results found."


def _another_key(log: TextIO) -> str:
    file = Path(log.name).parent / "another"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return Path(f"{file}.pub").read_text()


def _uuid_of_plan(customer: Customer, number: int) -> str:
    """Return a small plan's UUID; the tool shows no plan's name to find it by."""
    return customer.http("GET", f"/plans/{number}/").json()["uuid"]
