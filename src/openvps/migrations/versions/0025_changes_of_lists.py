"""What a list shows of a server leaves a row in `server_count` when it changes, as a change of kind always did."""

from alembic import op

revision = "0025"
down_revision = "0024"

# A row of 0 counts nothing. It says, from the same commit on as the change itself, that the account's list is another
# one; compute/servers/kept_lists.py asks for it, and counts.py folds it away.
COUNT = """
CREATE OR REPLACE FUNCTION openvps_count_server() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (OLD.account_id, OLD.location_id, OLD.status, OLD.wanted = 'absent')
        IS NOT DISTINCT FROM (NEW.account_id, NEW.location_id, NEW.status, NEW.wanted = 'absent') THEN
        INSERT INTO server_count (account_id, location_id, status, n)
        VALUES (NEW.account_id, NEW.location_id, NEW.status, 0);
        RETURN NULL;
    END IF;
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
"""
LISTED = (
    *("account_id", "location_id", "status", "wanted", "name", "hostname", "error", "plan_id", "vcpus", "memory_mib"),
    *("storage_gb", "system_id", "cell_id", "ready_at", "tags", "updated_at"),
)
ADDRESSES = """
CREATE FUNCTION openvps_count_address() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO server_count (account_id, location_id, status, n)
    SELECT account_id, location_id, status, 0 FROM server WHERE id IN (OLD.server_id, NEW.server_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER count_new AFTER INSERT ON address FOR EACH ROW WHEN (NEW.server_id IS NOT NULL)
    EXECUTE FUNCTION openvps_count_address();
CREATE TRIGGER count_gone AFTER DELETE ON address FOR EACH ROW WHEN (OLD.server_id IS NOT NULL)
    EXECUTE FUNCTION openvps_count_address();
CREATE TRIGGER count_changed AFTER UPDATE OF server_id ON address FOR EACH ROW
    WHEN (OLD.server_id IS DISTINCT FROM NEW.server_id) EXECUTE FUNCTION openvps_count_address();
"""
ADDRESSES_NOT = """
DROP TRIGGER count_changed ON address;
DROP TRIGGER count_gone ON address;
DROP TRIGGER count_new ON address;
DROP FUNCTION openvps_count_address();
"""
BEFORE = ("account_id", "location_id", "status", "wanted")
COUNT_BEFORE = """
CREATE OR REPLACE FUNCTION openvps_count_server() RETURNS trigger LANGUAGE plpgsql AS $$
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
"""


def _trigger(columns: tuple[str, ...]) -> str:
    def of(row: str) -> str:
        return ", ".join(f"{row}.{one}" if one != "wanted" else f"{row}.wanted = 'absent'" for one in columns)

    return (
        "DROP TRIGGER count_changed ON server;"
        f"CREATE TRIGGER count_changed AFTER UPDATE OF {', '.join(columns)} ON server FOR EACH ROW"
        f" WHEN (({of('OLD')}) IS DISTINCT FROM ({of('NEW')})) EXECUTE FUNCTION openvps_count_server()"
    )


def upgrade() -> None:
    op.execute(COUNT)
    op.execute(_trigger(LISTED))
    op.execute(ADDRESSES)


def downgrade() -> None:
    op.execute(ADDRESSES_NOT)
    op.execute(_trigger(BEFORE))
    op.execute(COUNT_BEFORE)
