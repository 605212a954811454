"""The jobs' tables: Procrastinate's own SQL, as of the version in the lock.

A later version of Procrastinate brings its own migrations; each becomes one of ours.
"""

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0002"
down_revision = "0001"

DROP = """
DO $$
DECLARE thing record;
BEGIN
    FOR thing IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'procrastinate%' LOOP
        EXECUTE format('DROP TABLE %I CASCADE', thing.tablename);
    END LOOP;
    FOR thing IN SELECT p.oid::regprocedure AS name FROM pg_proc p WHERE p.proname LIKE 'procrastinate%' LOOP
        EXECUTE format('DROP FUNCTION %s CASCADE', thing.name);
    END LOOP;
    FOR thing IN SELECT typname FROM pg_type WHERE typname LIKE 'procrastinate%' AND typtype IN ('e', 'c') LOOP
        EXECUTE format('DROP TYPE %I CASCADE', thing.typname);
    END LOOP;
END $$
"""


# A job that waits for its lock is found by a worker at its next poll only. A customer's next wish often comes while
# the last one's job is finishing: so whoever gives a lock back tells the workers that somebody waits for it.
WAKE = """
CREATE FUNCTION openvps_wake_next() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM procrastinate_jobs WHERE lock = OLD.lock AND status = 'todo') THEN
        PERFORM pg_notify('procrastinate_any_queue_v1',
                          json_build_object('type', 'job_inserted', 'job_id', OLD.id)::text);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER openvps_wake_next_on_delete AFTER DELETE ON procrastinate_jobs
    FOR EACH ROW WHEN (OLD.status = 'doing' AND OLD.lock IS NOT NULL) EXECUTE FUNCTION openvps_wake_next();
CREATE TRIGGER openvps_wake_next_on_update AFTER UPDATE OF status ON procrastinate_jobs
    FOR EACH ROW WHEN (OLD.status = 'doing' AND NEW.status <> 'doing' AND OLD.lock IS NOT NULL)
    EXECUTE FUNCTION openvps_wake_next();
"""


def _run(sql: str) -> None:
    # The bare cursor: this SQL has percent signs of its own, and takes no parameters.
    op.get_bind().connection.cursor().execute(sql)


def upgrade() -> None:
    _run(SchemaManager.get_schema())
    _run(WAKE)


def downgrade() -> None:
    _run(DROP)
    _run("DROP FUNCTION openvps_wake_next")
