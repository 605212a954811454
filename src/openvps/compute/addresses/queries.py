"""The SQL of addresses.

An IPv4 pool's addresses are rows from the start, taken with SKIP LOCKED, so that creates at once don't wait for each
other. An IPv6 pool is too large for that: a server's address is the network plus the server's id, so none is ever
used twice.
"""

from collections.abc import Iterable
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from openvps.core.db import Connection
from openvps.schema import address, address_pool, cell

V4, V6 = 4, 6


async def put_pool(conn: Connection, *, cell_id: int, network: IPv4Network | IPv6Network) -> int:
    """Add a pool to a cell, by its network; returns its id."""
    return (
        await conn.execute(
            pg_insert(address_pool)
            .values(cell_id=cell_id, network=network)
            .on_conflict_do_update(index_elements=["network"], set_={"cell_id": cell_id})
            .returning(address_pool.c.id)
        )
    ).scalar_one()


async def pools(conn: Connection) -> list[tuple[str, IPv4Network | IPv6Network]]:
    """Return every pool's network, with the name of its cell."""
    rows = await conn.execute(
        select(cell.c.name, address_pool.c.network).join(cell, cell.c.id == address_pool.c.cell_id)
    )
    return [(row[0], row[1]) for row in rows]


async def has_v6_pool(conn: Connection, cell_id: int) -> bool:
    """Whether a cell has an IPv6 pool."""
    networks = await conn.execute(select(address_pool.c.network).where(address_pool.c.cell_id == cell_id))
    return any(network.version == V6 for network in networks.scalars())


async def put_addresses(conn: Connection, pool_id: int, ips: Iterable[IPv4Address]) -> None:
    """Add a pool's addresses; those that are there stay as they are."""
    rows = [{"ip": ip, "pool_id": pool_id, "family": V4} for ip in ips]
    if rows:
        await conn.execute(pg_insert(address).on_conflict_do_nothing(), rows)


async def withdraw(conn: Connection, pool_id: int, ips: Iterable[IPv4Address]) -> None:
    """Take free addresses out of a pool; those that servers have stay."""
    await conn.execute(
        delete(address).where(
            address.c.pool_id == pool_id, address.c.ip.in_(list(ips)), address.c.server_id.is_(None)
        )
    )


async def take_v4(conn: Connection, *, cell_id: int, server_id: int, at: datetime) -> bool:
    """Give a server the longest-rested free IPv4 address of its cell; False if there is none."""
    free = (
        select(address.c.ip)
        .join(address_pool, address_pool.c.id == address.c.pool_id)
        .where(
            address_pool.c.cell_id == cell_id,
            address.c.family == V4,
            address.c.server_id.is_(None),
            address.c.rests_until.is_(None) | (address.c.rests_until <= at),
        )
        .order_by(address.c.rests_until.asc().nulls_first(), address.c.ip)
        .limit(1)
        .with_for_update(key_share=True, skip_locked=True, of=address)
        .scalar_subquery()
    )
    done = await conn.execute(
        update(address).where(address.c.ip == free).values(server_id=server_id, rests_until=None)
    )
    return done.rowcount == 1


async def take_v6(conn: Connection, *, cell_id: int, server_id: int) -> None:
    """Give a server its own IPv6 address, where its cell has a pool."""
    pool = (
        await conn.execute(
            select(address_pool.c.id, address_pool.c.network)
            .where(address_pool.c.cell_id == cell_id)
            .order_by(address_pool.c.id)
        )
    ).all()
    for pool_id, network in pool:
        if network.version == V6:
            await conn.execute(
                insert(address).values(
                    ip=network.network_address + (1 << 16) + server_id,
                    pool_id=pool_id,
                    server_id=server_id,
                    family=V6,
                )
            )
            return


async def of_server(conn: Connection, server_id: int) -> list[str]:
    """Return a server's addresses, IPv4 first."""
    rows = await conn.execute(select(address.c.ip).where(address.c.server_id == server_id).order_by(address.c.family))
    return [str(ip) for ip in rows.scalars()]


async def free(conn: Connection, server_id: int, *, rests_until: datetime) -> None:
    """Take a server's addresses back: IPv4 rests, IPv6 is gone for good."""
    await conn.execute(delete(address).where(address.c.server_id == server_id, address.c.family == V6))
    await conn.execute(
        update(address).where(address.c.server_id == server_id).values(server_id=None, rests_until=rests_until)
    )
