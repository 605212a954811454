"""Long lists in the time of short ones, and what tokens used of their limit."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# Each change of a server adds rows of +1 and -1, and none is ever updated: a create that holds its transaction open
# makes no worker wait, and no two can lock each other's rows. The worker's sweep adds the rows up, see
# compute/servers/counts.py.
COUNT = """
CREATE FUNCTION openvps_count_server() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.wanted <> 'absent' THEN
        INSERT INTO server_count (account_id, location_id, status, n)
        VALUES (OLD.account_id, OLD.location_id, OLD.status, -1);
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.wanted <> 'absent' THEN
        INSERT INTO server_count (account_id, location_id, status, n)
        VALUES (NEW.account_id, NEW.location_id, NEW.status, 1);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_new AFTER INSERT ON server FOR EACH ROW EXECUTE FUNCTION openvps_count_server();
CREATE TRIGGER count_gone AFTER DELETE ON server FOR EACH ROW EXECUTE FUNCTION openvps_count_server();
CREATE TRIGGER count_changed AFTER UPDATE OF account_id, location_id, status, wanted ON server FOR EACH ROW
    WHEN ((OLD.account_id, OLD.location_id, OLD.status, OLD.wanted = 'absent')
        IS DISTINCT FROM (NEW.account_id, NEW.location_id, NEW.status, NEW.wanted = 'absent'))
    EXECUTE FUNCTION openvps_count_server();
INSERT INTO server_count (account_id, location_id, status, n)
    SELECT account_id, location_id, status, count(*) FROM server WHERE wanted <> 'absent' GROUP BY 1, 2, 3;
"""

COUNT_NOT = """
DROP TRIGGER count_changed ON server;
DROP TRIGGER count_gone ON server;
DROP TRIGGER count_new ON server;
DROP FUNCTION openvps_count_server();
"""

LISTED = sa.text("wanted <> 'absent'")
LISTS: dict[str, list[str | sa.TextClause]] = {
    "ix_server_listed": ["account_id", "id"],
    "ix_server_by_status": ["account_id", "status", "id"],
    "ix_server_by_location": ["account_id", "location_id", "id"],
    "ix_server_by_name": ["account_id", sa.text("lower(name)"), "id"],
    "ix_server_by_update": ["account_id", "updated_at", "id"],
}
COVERED = {"ix_server_listed": ["name", "status", "location_id", "tags"], "ix_server_by_name": ["name"]}


def upgrade() -> None:
    op.create_table(
        "token_use",
        sa.Column("token_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("used", sa.Double[float](), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["token_id"], ["token.id"], name=op.f("fk_token_use_token_id_token"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_token_use")),
    )
    op.create_table(
        "server_count",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("location_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
    )
    op.create_index(op.f("ix_server_count_account_id"), "server_count", ["account_id"])
    op.drop_index("ix_server_account_id", table_name="server")
    for name, columns in LISTS.items():
        op.create_index(name, "server", columns, postgresql_where=LISTED, postgresql_include=COVERED.get(name))
    # The moment of the row, not of its transaction's start: rows of one account come in the order of their ids.
    op.alter_column("server", "created_at", server_default=sa.text("clock_timestamp()"))
    op.alter_column("server", "updated_at", server_default=sa.text("clock_timestamp()"))
    op.execute(COUNT)


def downgrade() -> None:
    op.execute(COUNT_NOT)
    op.alter_column("server", "updated_at", server_default=sa.text("now()"))
    op.alter_column("server", "created_at", server_default=sa.text("now()"))
    for name in LISTS:
        op.drop_index(name, table_name="server")
    op.create_index("ix_server_account_id", "server", ["account_id", sa.text("id DESC")])
    op.drop_table("server_count")
    op.drop_table("token_use")
