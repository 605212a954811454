"""What servers used, kept in partitions by time."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

REAL: sa.REAL[float] = sa.REAL()

# The worker may make and drop partitions of these three tables, and nothing else: both functions run as the owner.
# A partition is made beside the table and attached, which unlike CREATE TABLE … PARTITION OF stops no reader. It is
# half empty at first: a row is written again by each sample of its time, in place while its page has room.
PARTITIONS = """
CREATE FUNCTION openvps_partition_name(parent text, begins timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT parent || '_p' || to_char(begins AT TIME ZONE 'UTC', 'YYYYMMDDHH24')
$$;

CREATE FUNCTION openvps_add_partition(parent text, begins timestamptz, ends timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    name text := openvps_partition_name(parent, begins);
BEGIN
    IF parent NOT IN ('usage_minute', 'usage_5min', 'usage_hour') THEN
        RAISE EXCEPTION '% has no partitions', parent;
    END IF;
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE', parent);
    IF to_regclass(name) IS NOT NULL THEN  -- by another worker, meanwhile
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) WITH (fillfactor = 50)', name, parent);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name, begins, ends);
    RETURN true;
END
$$;

CREATE FUNCTION openvps_drop_partition(parent text, begins timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    name text := openvps_partition_name(parent, begins);
BEGIN
    IF parent NOT IN ('usage_minute', 'usage_5min', 'usage_hour') THEN
        RAISE EXCEPTION '% has no partitions', parent;
    END IF;
    EXECUTE format('LOCK TABLE %I IN SHARE UPDATE EXCLUSIVE MODE', parent);
    IF to_regclass(name) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE %I', name);
    RETURN true;
END
$$;

REVOKE EXECUTE ON FUNCTION openvps_add_partition, openvps_drop_partition FROM PUBLIC;
"""


def _history(name: str, *, begins: str = "at") -> None:
    op.create_table(
        name,
        sa.Column("server_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(begins, sa.DateTime(timezone=True), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("seconds", REAL, nullable=False),
        sa.Column("vcpu_seconds", REAL, nullable=False),
        sa.Column("cpu_seconds", REAL, nullable=False),
        sa.Column("memory_used_bytes", sa.BigInteger(), nullable=False),
        sa.Column("disk_used_bytes", sa.BigInteger(), nullable=False),
        sa.Column("received_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sent_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("server_id", begins, name=op.f(f"pk_{name}")),
        postgresql_partition_by=f"RANGE ({begins})",
    )


def upgrade() -> None:
    _history("usage_minute")
    _history("usage_5min")
    _history("usage_hour", begins="hour")
    op.execute(PARTITIONS)


def downgrade() -> None:
    for function in (
        "openvps_drop_partition(text, timestamptz)",
        "openvps_add_partition(text, timestamptz, timestamptz)",
        "openvps_partition_name(text, timestamptz)",
    ):
        op.execute(f"DROP FUNCTION {function}")
    for name in ("usage_hour", "usage_5min", "usage_minute"):
        op.drop_table(name)
