"""`openvps cell`: cells on other machines, by root on the host where the worker runs.

What is prepared as root on a cell's own hosts is `openvps host prepare`'s work there; here trust is made, what is
there is looked at, and the row is written. Every step may be repeated: a command that was cut off is given again.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from rich.console import Console
from rich.table import Table

from openvps.compute.addresses import queries as addresses
from openvps.compute.locations import queries as locations
from openvps.core import settings
from openvps.core.clock import iso
from openvps.core.db import Connection, Database, Record
from openvps.core.settings import NIC_PREFIX, Settings
from openvps.engine.incus import open_remote, project_and_pool
from openvps.engine.incus.reach import own_files, ping
from openvps.engine.incus.trust import (
    TrustToken,
    certificate_of,
    introduce,
    member_url,
    members_of,
    pinned,
    read_token,
)
from openvps.engine.protocol import Away, EngineError
from openvps.ops import cell_rows, client_certificate, machine
from openvps.ops.accounts import Output, run, say, talk
from openvps.ops.cell_rows import Asked
from openvps.ops.machine import NotReady
from openvps.ops.run import ProgramFailed


@dataclass(frozen=True)
class Place:
    """The location of a new cell; one that isn't there yet needs a name and a country."""

    code: str
    name: str | None = None
    country_name: str | None = None
    country_code: str | None = None


@dataclass(frozen=True)
class Wanted:
    """A cell as the command line names it; None and empty: not named."""

    members: str = ""
    trust_token: str | None = None
    networks: str = ""
    nameservers: str = ""
    project: str | None = None
    pool: str | None = None
    nic_prefix: str | None = None
    nic_parent: str | None = None


def add(name: str, wanted: Wanted, place: Place) -> int:
    """Trust a remote cell, look at it, and have servers made there; returns the exit code."""
    return _do(lambda config, database: _add(config, database, name, wanted, place))


def edit(name: str, wanted: Wanted) -> int:
    """Change how a remote cell is reached, and look at its room and images again; returns the exit code."""
    return _do(lambda config, database: _edit(config, database, name, wanted))


def list_(output: Output) -> int:
    """Print every cell."""

    async def work(conn: Connection) -> int:
        rows = [shown(row) for row in await locations.cells_shown(conn)]
        if output == "json":
            return say(output, rows, [])
        table = Table("CELL", "LOCATION", "REACHED BY", "SERVERS", "MEMORY", "STATE", box=None)
        for row in rows:
            used = f"{row['used_memory_mib']} of {row['room_memory_mib']} MiB"
            state = f"away since {row['away_at']}" if row["away_at"] else "answers"
            state += ", takes no new servers" if row["paused_at"] else ""
            table.add_row(row["name"], row["location"], row["reached_by"][0], str(row["servers"]), used, state)
        Console(highlight=False, markup=False).print(table)
        return 0

    return run(work)


def show(name: str, output: Output) -> int:
    """Print one cell."""

    async def work(conn: Connection) -> int:
        row = next((one for one in await locations.cells_shown(conn) if one.name == name), None)
        if row is None:
            return _refuse(_none_such(name))
        return say(output, shown(row), [f"{key}: {value}" for key, value in shown(row).items()])

    return run(work)


def remove(name: str) -> int:
    """Forget a remote cell that has no servers; what is on its hosts stays."""

    async def work(conn: Connection) -> int:
        row = next((one for one in await locations.cells_shown(conn) if one.name == name), None)
        if row is None:
            return _refuse(_none_such(name))
        if row.socket is not None:
            return _refuse(f"{name} is on this machine: `openvps down --purge` removes it")
        if row.servers:
            return _refuse(f"{name} has {row.servers} servers: delete them first")
        await locations.remove_cell(conn, row.id)
        return 0

    return run(work)


def shown(row: Record) -> dict[str, Any]:
    """Return a cell as its operator sees it."""
    moments = {key: iso(at) if (at := getattr(row, key)) else None for key in ("seen_at", "away_at", "paused_at")}
    sizes = ("vcpus", "memory_mib", "storage_gb")
    return {
        "id": row.id,
        "name": row.name,
        "location": row.location,
        "reached_by": [row.socket] if row.socket is not None else row.members,
        "project": row.project,
        "pool": row.pool,
        "networks": [str(one) for one in row.networks],
        "nameservers": row.nameservers,
        "servers": row.servers,
        **{f"used_{size}": getattr(row, f"used_{size}") for size in sizes},
        **{f"room_{size}": getattr(row, f"room_{size}") for size in sizes},
        **moments,
        "away_reason": row.away_reason,
        "paused_reason": row.paused_reason,
    }


def networks(text: str) -> list[IPv4Network | IPv6Network]:
    """Read the networks of a cell. Raises ValueError."""
    found = [ip_network(part.strip()) for part in text.split(",") if part.strip()]
    for one in found:
        if isinstance(one, IPv4Network) and one.prefixlen < 16:  # noqa: PLR2004 -- each address is a row
            raise ValueError(f"{one}: /16 or smaller; name several")
    return found


def _nic_prefix(text: str) -> str:
    """Read what interfaces are named: an id has to fit behind it. Raises ValueError."""
    if not re.fullmatch(NIC_PREFIX, text):
        raise ValueError(f"--nic-prefix {text}: two to four letters, a to z")
    return text


def _do(work: Callable[[Settings, Database], Awaitable[int]]) -> int:
    """Do what asks an engine; refusals are one line and 1."""

    async def inside() -> int:
        config = settings.load()
        database = Database(config.conninfo("owner"))
        try:
            return await work(config, database)
        finally:
            await database.close()

    try:
        machine.require_root()
        return asyncio.run(inside())
    except (NotReady, ProgramFailed, EngineError) as error:
        return _refuse(str(error))


async def _add(config: Settings, database: Database, name: str, wanted: Wanted, place: Place) -> int:
    try:
        nic_prefix = _nic_prefix(wanted.nic_prefix or config.nic_prefix)
        members = [member_url(part.strip()) for part in wanted.members.split(",") if part.strip()]
        token = read_token(wanted.trust_token or "")
        pools = networks(wanted.networks)
        nameservers = [str(ip_address(part.strip())) for part in wanted.nameservers.split(",") if part.strip()]
    except ValueError as error:
        return _refuse(str(error))
    if not any(isinstance(one, IPv4Network) for one in pools):
        return _refuse("--network: name the IPv4 block that the cell's servers get, e.g. 10.78.0.0/22")
    async with database.begin() as conn:
        location_id = await _location(conn, place)
        taken = await _taken(conn, name, pools)
    if location_id is None:
        return _refuse(f"there is no location {place.code}; to make it, add --location-name and --country")
    if taken:
        return _refuse(taken)
    members, certificate = await _trusted(config, members or list(token.members), token)
    asked = Asked(
        name=name,
        members=members,
        certificate=certificate,
        project=wanted.project or config.project,
        pool=wanted.pool or wanted.project or config.project,
        nic_prefix=nic_prefix,
        nic_parent=wanted.nic_parent,
        networks=pools,
        nameservers=nameservers,
    )
    return await _put(config, database, asked, location_id)


async def _edit(config: Settings, database: Database, name: str, wanted: Wanted) -> int:
    async with database.begin() as conn:
        row = await locations.cell_named(conn, name)
    if row is None or row.socket is not None:
        return _refuse(_none_such(name) if row is None else f"{name} is on this machine: `openvps up` keeps it")
    try:
        named = [member_url(part.strip()) for part in wanted.members.split(",") if part.strip()]
        nameservers = [str(ip_address(part.strip())) for part in wanted.nameservers.split(",") if part.strip()]
        token = read_token(wanted.trust_token) if wanted.trust_token else None
    except ValueError as error:
        return _refuse(str(error))
    members, certificate = named or row.members, row.certificate
    if token:
        members, certificate = await _trusted(config, members, token)
    asked = Asked(
        name=name,
        members=members,
        certificate=certificate,
        project=row.project,
        pool=wanted.pool or row.pool,
        nic_prefix=row.nic_prefix,
        nic_parent=row.nic_parent,
        networks=(),
        nameservers=nameservers or row.nameservers,
    )
    return await _put(config, database, asked, row.location_id)


async def _trusted(config: Settings, members: list[str], token: TrustToken) -> tuple[list[str], str]:
    """Make each side know the other; returns the addresses of all members, and their certificate.

    One member that is there is enough. Raises EngineError: nothing is sent to who shows another certificate.
    """
    files = await asyncio.to_thread(client_certificate.ensure, config)
    failure: EngineError = Away("no address of the cell was named")
    for member in members:
        try:
            certificate = await asyncio.to_thread(certificate_of, member, token.fingerprint)
            tls = pinned(certificate, *files)
            await introduce(member, tls, token, config.project)
            others = await members_of(member, tls)
        except Away as error:
            failure = error
            continue
        return list(dict.fromkeys([*members, *others])), certificate
    raise failure


async def _put(config: Settings, database: Database, asked: Asked, location_id: int) -> int:
    """Look at the cell, write its row, and give it images."""
    tls = pinned(asked.certificate, *own_files(config))
    async with AsyncExitStack() as stack:
        engine = open_remote(asked.members, tls, asked.project, asked.pool)
        stack.push_async_callback(engine.close)
        await project_and_pool(asked.members, tls, asked.project, asked.pool)
        await ping(engine)
        capacity = await engine.capacity()
        async with database.begin() as conn:
            await cell_rows.put(conn, config, asked, location_id, capacity)
            row = await locations.cell_named(conn, asked.name)
        if row is None:
            raise LookupError(f"cell {asked.name} vanished in its own transaction")
        for system in await cell_rows.copy_images(database, config, row, engine):
            talk(f"openvps: {asked.name} has no image of {system}: `openvps image build {system}` makes one")
    talk(
        f"openvps: {asked.name} answers, with {capacity.cpus} CPUs, {capacity.memory_mib} MiB, {capacity.disk_gb} GB"
    )
    return 0


async def _location(conn: Connection, place: Place) -> int | None:
    """Return the location's id, made where its names are given."""
    there = next((one for one in await locations.locations(conn) if one.code == place.code), None)
    if there is not None:
        return there.id
    if not (place.name and place.country_name and place.country_code):
        return None
    return await locations.put_location(
        conn,
        code=place.code,
        name=place.name,
        country_name=place.country_name,
        country_code=place.country_code,
    )


async def _taken(conn: Connection, name: str, pools: Sequence[IPv4Network | IPv6Network]) -> str | None:
    """Return what is in the way of a cell: the local one's name, or another cell's addresses."""
    row = await locations.cell_named(conn, name)
    if row is not None and row.socket is not None:
        return f"{name} is the cell on this machine; name this one otherwise"
    for cell, network in await addresses.pools(conn):
        for one in pools:
            if cell != name and one.version == network.version and one.overlaps(network):
                return f"{one}: addresses of {cell} ({network}); each cell has its own"
    return None


def _none_such(name: str) -> str:
    return f"there is no cell {name}; see `openvps cell list`"


def _refuse(text: str) -> int:
    talk(f"openvps: {text}")
    return 1
