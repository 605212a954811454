"""A server's entry in a list, as JSON that PostgreSQL writes.

A list is the hot path, and to fetch a hundred rows, make objects of them and these into text would be most of what
the api process does. The columns of ENTRY are the fields of `shape.Summary`, in its order; a test holds the two
together, and what is listed to what `shape.py` makes of the same server elsewhere.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Text,
    cast,
    func,
    literal_column,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from openvps.compute.locations.queries import SILENT
from openvps.schema import address, cell, location, plan, server, system

_ISO: ColumnElement[str] = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS"Z"'""")
_UTC: ColumnElement[str] = literal_column("'UTC'")


def entry(number: ColumnElement[int]) -> tuple[Any, ColumnElement[str]]:
    """Return what to join, laterally, to have the server with this id; and its entry as text."""
    one = ENTRY.where(server.c.id == number).lateral("entry")
    return one, cast(func.row_to_json(one.table_valued()), Text)


def _iso(moment: ColumnElement[datetime]) -> ColumnElement[str]:
    """Write a moment as `core.clock.iso` does."""
    return func.to_char(func.timezone(_UTC, moment), _ISO)


def _object(**members: ColumnElement[Any]) -> ColumnElement[Any]:
    parts: list[ColumnElement[Any]] = []
    for name, value in members.items():
        parts += (literal_column(f"'{name}'"), value)
    return func.json_build_object(*parts)


_OWN = (
    select(
        *(
            func.coalesce(
                func.array_agg(aggregate_order_by(func.host(address.c.ip), address.c.ip)).filter(
                    address.c.family == literal_column(str(family))
                ),
                literal_column("'{}'::text[]"),
            ).label(f"v{family}")
            for family in (4, 6)
        )
    )
    .where(address.c.server_id == server.c.id)
    .lateral("own")
)
ENTRY: Select[*tuple[Any, ...]] = (
    select(
        server.c.id,
        server.c.uuid,
        server.c.name,
        server.c.hostname,
        server.c.status,
        func.coalesce(SILENT, literal_column("false")).label("unreachable"),  # null: its cell was never seen
        server.c.error,
        type_coerce(_OWN.c.v4, ARRAY(Text))[1].label("ip_address"),
        _OWN.c.v4.label("ipv4_addresses"),
        _OWN.c.v6.label("ipv6_addresses"),
        location.c.code.label("location"),
        location.c.name.label("location_name"),
        plan.c.name.label("plan_name"),
        _object(id=system.c.id, name=system.c.name).label("os"),
        system.c.name.label("os_name"),
        server.c.ready_at.is_not(None).label("deployed"),
        server.c.tags,
        _iso(server.c.created_at).label("created_at"),
        _iso(server.c.updated_at).label("updated_at"),
        _object(
            id=plan.c.id,
            name=plan.c.name,
            vcpus=server.c.vcpus,
            memory=server.c.memory_mib,
            storage=server.c.storage_gb,
        ).label("plan"),
    )
    .join(plan, plan.c.id == server.c.plan_id)
    .join(system, system.c.id == server.c.system_id)
    .join(location, location.c.id == server.c.location_id)
    .join(cell, cell.c.id == server.c.cell_id)
    .join(_OWN, true())
)
