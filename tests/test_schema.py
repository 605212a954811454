"""The migrations and `schema.py` say the same, up and down."""

import psycopg
import pytest
from alembic import command

from openvps import migrations


def test_upgraded_is_what_the_schema_says(database_url: str) -> None:
    command.check(migrations.config(database_url))


def test_every_migration_goes_down_and_up_again(database_url: str) -> None:
    migrations.downgrade(database_url, "base")
    with psycopg.connect(database_url) as conn:
        left = conn.execute(
            "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE nspname = 'public' AND relkind IN ('r', 'S') AND relname <> 'alembic_version'"
        ).fetchall()
    assert left == []
    migrations.upgrade(database_url)
    command.check(migrations.config(database_url))


def test_an_address_belongs_to_one_server_at_most(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        conn.execute(
            "INSERT INTO location (code, name, country_name, country_code) VALUES ('a', 'a', 'a', 'AA');"
            "INSERT INTO cell (location_id, name, socket, project, pool, nic_prefix, nameservers, room_vcpus,"
            " room_memory_mib, room_storage_gb, largest_vcpus) SELECT id, 'c', '', '', '', 'v', '{}', 1, 1, 1, 1"
            " FROM location;"
            "INSERT INTO address_pool (cell_id, network) SELECT id, '198.51.100.0/24' FROM cell;"
            "INSERT INTO address (ip, pool_id, family) SELECT '198.51.100.1', id, 4 FROM address_pool"
        )
        with pytest.raises(psycopg.errors.UniqueViolation):
            conn.execute("INSERT INTO address (ip, pool_id, family) SELECT '198.51.100.1', id, 4 FROM address_pool")
