"""What is asked of a remote cell before its row is written, and what it gets then: room, addresses, images."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from openvps.compute.addresses import queries as addresses
from openvps.compute.locations import queries as locations
from openvps.compute.systems import queries as systems
from openvps.core.db import Connection, Database, Record
from openvps.core.settings import Settings
from openvps.engine.incus.reach import open_cell
from openvps.engine.protocol import Capacity, Engine, EngineError


@dataclass(frozen=True)
class Asked:
    """A remote cell as its operator describes it."""

    name: str
    members: Sequence[str]
    certificate: str
    project: str
    pool: str
    nic_prefix: str
    nic_parent: str | None
    networks: Sequence[IPv4Network | IPv6Network]
    nameservers: Sequence[str]


def room(config: Settings, capacity: Capacity) -> dict[str, int]:
    """Return the columns of a cell's room: what its hosts have, less the reserve, times the overcommit."""
    return {
        "room_vcpus": int(capacity.cpus * config.cpu_overcommit),
        "room_memory_mib": max(0, int((capacity.memory_mib - config.reserve_memory_mib) * config.memory_overcommit)),
        "room_storage_gb": max(0, int((capacity.disk_gb - config.reserve_disk_gb) * config.disk_overcommit)),
        "largest_vcpus": capacity.largest_host_cpus,
    }


async def put(conn: Connection, config: Settings, asked: Asked, location_id: int, capacity: Capacity) -> int:
    """Write a remote cell with its room and addresses; returns its id."""
    cell_id = await locations.put_cell(
        conn,
        location_id=location_id,
        name=asked.name,
        members=list(asked.members),
        certificate=asked.certificate,
        project=asked.project,
        pool=asked.pool,
        nic_prefix=asked.nic_prefix,
        nic_parent=asked.nic_parent,
        nameservers=list(asked.nameservers),
        **room(config, capacity),
    )
    for network in asked.networks:
        pool_id = await addresses.put_pool(conn, cell_id=cell_id, network=network)
        if isinstance(network, IPv4Network):
            await addresses.put_addresses(conn, pool_id, network.hosts())
    await locations.seen(conn, cell_id)
    return cell_id


async def copy_images(database: Database, config: Settings, row: Record, to: Engine) -> list[str]:
    """Give a cell every image that new servers of other cells get; returns the systems that couldn't be had.

    Imported first and offered then, so that what is offered is there; repeated, it does what is missing. A cell that
    is away isn't asked: each would be waited for.
    """
    async with database.begin() as conn:
        offered = [one for one in await systems.images(conn) if one.retired_at is None]
        sources = {one.name: one for one in await locations.cells(conn) if one.away_at is None and one.id != row.id}
        ids = {one.slug: one.id for one in await systems.systems(conn)}
    missing: list[str] = []
    for system in sorted({one.system for one in offered}):
        newest = [one for one in offered if one.system == system]
        if any(one.cell == row.name and one.fingerprint == newest[0].fingerprint for one in newest):
            continue
        for image in newest:
            source = sources.get(image.cell)
            if source is not None and await _copied(config, source, image.fingerprint, to):
                async with database.begin() as conn:
                    await systems.add_image(
                        conn,
                        cell_id=row.id,
                        system_id=ids[system],
                        fingerprint=image.fingerprint,
                        built_at=image.built_at,
                    )
                break
        else:
            missing.append(system)
    return missing


async def _copied(config: Settings, source: Record, fingerprint: str, to: Engine) -> bool:
    """Carry an image from one cell to another; False where the source hasn't it or doesn't answer."""
    engine = open_cell(config, source)
    try:
        with tempfile.TemporaryDirectory(dir=config.data_dir / "images") as folder:
            file = Path(folder, f"{fingerprint}.tar")
            try:
                await engine.export_image(fingerprint, file)
            except EngineError:
                return False
            return await to.add_image(file) == fingerprint
    finally:
        await engine.close()
