"""What a list shows of a server leaves a row in `server_count` when it changes, as a change of kind always did."""

from alembic import op

revision = "0025"
down_revision = "0024"

# The rows of a server that stays of its kind, -1 and +1, count nothing. They say, from the same commit on as the
# change itself, that the account's list is another one; so does the row of 0 of an address. kept_lists.py in
# compute/servers asks for them, and counts.py folds them away.
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


def _trigger(columns: tuple[str, ...]) -> str:
    def of(row: str) -> str:
        return ", ".join(f"{row}.{one}" if one != "wanted" else f"{row}.wanted = 'absent'" for one in columns)

    return (
        "DROP TRIGGER count_changed ON server;"
        f"CREATE TRIGGER count_changed AFTER UPDATE OF {', '.join(columns)} ON server FOR EACH ROW"
        f" WHEN (({of('OLD')}) IS DISTINCT FROM ({of('NEW')})) EXECUTE FUNCTION openvps_count_server()"
    )


def upgrade() -> None:
    op.execute(_trigger(LISTED))
    op.execute(ADDRESSES)


def downgrade() -> None:
    op.execute(ADDRESSES_NOT)
    op.execute(_trigger(BEFORE))
