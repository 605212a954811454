"""The rows of a new installation: location, cell, addresses, plans, systems, and the operator's account and token.

Run at every start: what is there is brought up to date (a cell's room, new settings) or left alone (plans, accounts).
"""

import secrets
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

from openvps.accounts import queries as accounts
from openvps.accounts import tokens
from openvps.accounts.permissions import everything
from openvps.accounts.ssh_keys import queries as ssh_keys
from openvps.accounts.ssh_keys.public_key import parse
from openvps.compute.addresses import queries as addresses
from openvps.compute.locations import queries as locations
from openvps.compute.plans import queries as plans
from openvps.compute.systems import queries as systems
from openvps.core.db import Connection, Database
from openvps.core.money import MICRO
from openvps.core.settings import Settings
from openvps.engine.protocol import Capacity
from openvps.ledger import queries as ledger
from openvps.ops import catalog
from openvps.ops.cell_rows import room

OPERATOR_EMAIL = "operator@localhost"


@dataclass(frozen=True)
class CellSeed:
    """A cell as the machine's preparation found it."""

    name: str
    socket: Path
    project: str
    pool: str
    capacity: Capacity
    nameservers: list[str]
    offers_vm: bool = False


@dataclass(frozen=True)
class Seeded:
    """What to tell the operator: the token on the first start only."""

    token: str | None
    curl: str


async def seed(database: Database, settings: Settings, cell: CellSeed, public_keys: dict[str, str]) -> Seeded:
    """Write what is missing, in one transaction; `public_keys` (name to line) are the operator's first keys."""
    async with database.begin() as conn:
        await plans.put(conn, catalog.PLANS)
        await systems.put(conn, catalog.SYSTEMS)
        location_id = await locations.put_location(
            conn,
            code=settings.location_code,
            name=settings.location_name,
            country_name=settings.country_name,
            country_code=settings.country_code,
        )
        await put_cell(conn, settings, cell, location_id)
        token = await _operator(conn, settings, public_keys)
        smallest = await _smallest_plan(conn, settings.location_code)
    return Seeded(token, _curl(settings, token, smallest))


async def put_cell(conn: Connection, settings: Settings, cell: CellSeed, location_id: int) -> int:
    """Write a cell with its room and its address pools; returns its id."""
    cell_id = await locations.put_cell(
        conn,
        location_id=location_id,
        name=cell.name,
        socket=str(cell.socket),
        project=cell.project,
        pool=cell.pool,
        nic_prefix=settings.nic_prefix,
        nic_parent=settings.network_parent if settings.network_mode == "routed" else None,
        nameservers=cell.nameservers,
        offers_vm=cell.offers_vm,
        **room(settings, cell.capacity),
    )
    await _addresses(conn, settings, cell_id)
    await locations.seen(conn, cell_id)
    return cell_id


async def _addresses(conn: Connection, settings: Settings, cell_id: int) -> None:
    """Fill the IPv4 pool but for what is reserved, and add the IPv6 pool; private and random in nat mode."""
    reserved = [ip_network(one) for one in settings.reserved_addresses]
    reserved += [
        ip_network(ip_address(one)) for one in (settings.ipv4_gateway, settings.ipv6_gateway) if one is not None
    ]
    pool_id = await addresses.put_pool(conn, cell_id=cell_id, network=settings.ipv4_pool)
    usable = list(settings.ipv4_pool.hosts())
    kept = {ip for ip in usable if any(ip in one for one in reserved if isinstance(one, IPv4Network))}
    await addresses.put_addresses(conn, pool_id, (ip for ip in usable if ip not in kept))
    await addresses.withdraw(conn, pool_id, kept)
    if settings.ipv6_pool is not None:
        await addresses.put_pool(conn, cell_id=cell_id, network=settings.ipv6_pool)
    elif settings.network_mode == "nat" and not await addresses.has_v6_pool(conn, cell_id):
        await addresses.put_pool(conn, cell_id=cell_id, network=private_v6())


def private_v6() -> IPv6Network:
    """Return a random private /64 (RFC 4193, 3.2.2: fd, 40 random bits, a subnet)."""
    return IPv6Network(((0xFD << 120) | (secrets.randbits(40) << 80), 64))


async def _operator(conn: Connection, settings: Settings, public_keys: dict[str, str]) -> str | None:
    """Make the first account with credit, keys and a token; returns the token, None if there is an account."""
    if await accounts.any_account(conn) is not None:
        return None
    account_id = await accounts.add_account(conn, email=OPERATOR_EMAIL, is_operator=True)
    await ledger.append(
        conn,
        account_id=account_id,
        amount_micro=settings.initial_credit * MICRO,
        kind="credit",
        reference="first start",
    )
    for name, line in public_keys.items():
        try:
            key = parse(line)
        except ValueError:
            continue  # a key that we don't take is not worth failing a start for
        await ssh_keys.add(conn, account_id=account_id, name=name, public_key=key.line, fingerprint=key.fingerprint)
    text = tokens.make()
    await accounts.add_token(
        conn,
        account_id=account_id,
        name="first token",
        digest=tokens.digest(text),
        permissions=everything(operator=True),
    )
    return text


async def _smallest_plan(conn: Connection, code: str) -> int:
    """Return the cheapest plan that there is room for, or the cheapest at all."""
    rows = sorted(await plans.plans(conn), key=lambda row: (code not in row.locations, row.price_monthly_micro))
    return rows[0].id


def _curl(settings: Settings, token: str | None, plan_id: int) -> str:
    """Return a line that creates a server as pasted; later the operator's shell has the token."""
    body = (
        f'{{"name": "my-first-server", "plan_id": {plan_id}, "os_id": {catalog.SYSTEMS[0]["id"]}, '
        f'"location": "{settings.location_code}"}}'
    )
    return (
        f"curl -X POST {settings.base_url}/api/v1/servers/ "
        f'-H "Authorization: Bearer {token or "$OPENVPS_TOKEN"}" -H "Content-Type: application/json" -d \'{body}\''
    )
