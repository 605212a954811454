"""Every table, in reading order: who, money, what there is to have, servers, and what happens to them.

Alembic's migrations make them; a test holds the two together. Ids are integers for the documented dialect,
`uuid` beside them for the other. Sizes have their units in the name; money is micro-units.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import CIDR, INET, JSONB, UUID

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(), primary_key=True)


def _uuid() -> Column[Any]:
    return Column("uuid", UUID, nullable=False, unique=True, server_default=func.gen_random_uuid())


def _created_at() -> Column[Any]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


def _moment(name: str) -> Column[Any]:
    return Column(name, DateTime(timezone=True))


def _ref(name: str, target: str, *, nullable: bool = False, ondelete: str | None = None) -> Column[int]:
    return Column(name, BigInteger, ForeignKey(target, ondelete=ondelete), nullable=nullable)


# who

account = Table(
    "account",
    metadata,
    _id(),
    _uuid(),
    Column("email", Text, nullable=False, unique=True),
    Column("first_name", Text, nullable=False, server_default=""),
    Column("last_name", Text, nullable=False, server_default=""),
    Column("company_name", Text, nullable=False, server_default=""),
    Column("is_operator", Boolean, nullable=False, server_default=text("false")),
    Column("password_hash", Text),  # argon2id; null: nobody signs in, or the invite is still out
    Column("invite_digest", LargeBinary, unique=True),  # SHA-256; who has the invite sets the password, once
    _moment("invite_expires_at"),
    Column("max_servers", Integer),  # quotas; null: the installation's setting
    Column("max_vcpus", Integer),
    Column("creates_an_hour", Integer),
    _moment("disabled_at"),
    Column("disabled_reason", Text, nullable=False, server_default=""),
    # the standing: a level that billing and operators set, and that has the servers run or not
    _moment("low_at"),  # since when credit has been low; told once
    _moment("empty_at"),  # since when there is no credit
    _moment("unpaid_at"),  # since when the servers are suspended for it
    _moment("servers_end_at"),  # when they are deleted for it, as was announced; null: they aren't
    _moment("suspended_at"),  # since when an operator has them suspended, and why
    Column("suspended_reason", Text, nullable=False, server_default=""),
    _moment("deleted_at"),  # the row stays for its ledger entries, without the person's data
    _created_at(),
)

token = Table(
    "token",
    metadata,
    _id(),
    _uuid(),
    _ref("account_id", "account.id", ondelete="CASCADE"),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of the whole token
    Column("permissions", ARRAY(Text), nullable=False),
    _moment("expires_at"),
    _moment("revoked_at"),
    _moment("last_used_at"),
    _created_at(),
    Index(None, "account_id"),
)

token_use = Table(  # requests that count against a token's limit; they are forgotten evenly over time
    "token_use",
    metadata,
    Column(
        "token_id",
        BigInteger,
        ForeignKey("token.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("used", Double, nullable=False),  # as of `at`
    Column("at", DateTime(timezone=True), nullable=False),
)

session = Table(  # somebody signed in to the console: a browser's cookie, which acts with a token's permissions
    "session",
    metadata,
    _id(),
    _ref("token_id", "token.id", ondelete="CASCADE"),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of the cookie
    Column("own_token", Boolean, nullable=False),  # the token was made for it, and ends with it
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _created_at(),
    Index(None, "token_id"),
)

second_factor = Table(  # what an account's password alone doesn't open
    "second_factor",
    metadata,
    Column(
        "account_id",
        BigInteger,
        ForeignKey("account.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("key", LargeBinary, nullable=False),  # needed for each check, so kept as it is
    _moment("confirmed_at"),  # null: it is being set up, and nothing asks for it
    Column("last_step", BigInteger, nullable=False, server_default=text("0")),  # whose code was taken: none before is
    Column("recovery_digests", ARRAY(LargeBinary), nullable=False, server_default=text("'{}'")),  # SHA-256
    Column("failures", Integer, nullable=False, server_default=text("0")),  # wrong codes since the last good one
    _moment("failed_at"),
    _created_at(),
)

sign_in_step = Table(  # a browser that has given an account's password, and has still to give a code
    "sign_in_step",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # SHA-256 of its cookie
    _ref("account_id", "account.id", ondelete="CASCADE"),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Index(None, "account_id"),
)

ssh_key = Table(
    "ssh_key",
    metadata,
    _id(),
    _uuid(),
    _ref("account_id", "account.id", ondelete="CASCADE"),
    Column("name", Text, nullable=False),
    Column("public_key", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    _moment("last_used_at"),
    _created_at(),
    UniqueConstraint("account_id", "fingerprint"),
)

# money

ledger_entry = Table(
    "ledger_entry",
    metadata,
    _id(),
    _ref("account_id", "account.id"),
    Column("amount_micro", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reference", Text, nullable=False),  # what makes it unique: repeating an entry is a no-op
    Column("server_id", BigInteger),  # of a charge; no foreign key: the books outlive the server
    Column("traffic_bytes", BigInteger),  # beyond what is included, that it is for; null: it is for none
    Column("reason", Text, nullable=False, server_default=""),  # what a person said of it
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),  # a charge: its hour's begin
    _created_at(),
    UniqueConstraint("account_id", "kind", "reference"),
    Index("ix_ledger_entry_listed", "account_id", "id", postgresql_include=["amount_micro"]),
    Index("ix_ledger_entry_by_time", "account_id", "at"),
)

ledger_total = Table(  # the sum of an account's entries, which a trigger adds up: years of hours aren't read again
    "ledger_total",
    metadata,
    Column("account_id", BigInteger, ForeignKey("account.id"), primary_key=True, autoincrement=False),
    Column("amount_micro", BigInteger, nullable=False),
)

ledger_month = Table(  # the same without payments by the month (YYYY-MM, UTC) of the entries: the invoices' totals
    "ledger_month",
    metadata,
    Column("account_id", BigInteger, ForeignKey("account.id"), primary_key=True, autoincrement=False),
    Column("month", Text, primary_key=True),
    Column("amount_micro", BigInteger, nullable=False),
)

ledger_hold = Table(
    "ledger_hold",
    metadata,
    _id(),
    _ref("account_id", "account.id"),
    Column("amount_micro", BigInteger, nullable=False),
    Column("reference", Text, nullable=False, unique=True),
    _created_at(),
    CheckConstraint("amount_micro >= 0", name="not_negative"),
    Index(None, "account_id"),
)

notice = Table(  # what an account was told about its credit
    "notice",
    metadata,
    _id(),
    _ref("account_id", "account.id"),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    _created_at(),
    Index(None, "account_id", "id"),
)

meter = Table(  # a server as billing knows it, from the 201 on; kept when the server is gone
    "meter",
    metadata,
    Column("server_id", BigInteger, primary_key=True, autoincrement=False),
    _ref("account_id", "account.id"),
    Column("name", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),  # its hours are counted from here
    _moment("ended_at"),
    _moment("due_at"),  # begin of the first hour that isn't charged; null: none will come
    # traffic, by hours of the clock: what is charged, as sums of the month of `traffic_at`
    _moment("traffic_at"),  # begin of the first hour whose traffic isn't charged; null: all is
    Column("received_bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("sent_bytes", BigInteger, nullable=False, server_default=text("0")),
    Column("over_bytes", BigInteger, nullable=False, server_default=text("0")),  # beyond what is included
    Column("over_micro", BigInteger, nullable=False, server_default=text("0")),  # what was charged for them
    _moment("month_at"),  # begin of the month (UTC) of its newest charge, and what was charged of that month
    Column("month_micro", BigInteger, nullable=False, server_default=text("0")),
    Index("ix_meter_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index("ix_meter_closing", "ended_at", postgresql_where=text("traffic_at IS NOT NULL AND ended_at IS NOT NULL")),
    Index(None, "account_id", "server_id"),
)

rate_period = Table(  # what a month of a server costs, from the hour that begins at `begins_at`
    "rate_period",
    metadata,
    _ref("server_id", "meter.server_id"),
    Column("begins_at", DateTime(timezone=True), nullable=False),
    _moment("ends_at"),  # null: until told otherwise
    Column("price_monthly_micro", BigInteger, nullable=False),
    Column("bandwidth_gb", Integer, nullable=False),  # traffic that is included
    PrimaryKeyConstraint("server_id", "begins_at"),
    CheckConstraint("ends_at > begins_at", name="forward"),
    CheckConstraint("price_monthly_micro >= 0", name="not_negative"),
    Index("uq_rate_period_open", "server_id", unique=True, postgresql_where=text("ends_at IS NULL")),
)

# what there is to have

plan = Table(
    "plan",
    metadata,
    _id(),
    _uuid(),
    Column("name", Text, nullable=False),
    Column("slug", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("storage_gb", Integer, nullable=False),
    Column("bandwidth_gb", Integer, nullable=False),
    Column("price_monthly_micro", BigInteger, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    _moment("retired_at"),
    _created_at(),
    CheckConstraint("kind IN ('container', 'vm')", name="kind"),
    CheckConstraint("vcpus > 0 AND memory_mib > 0 AND storage_gb > 0", name="sizes"),
)

system = Table(  # an operating system's version: what `os_id` names
    "system",
    metadata,
    _id(),
    _uuid(),
    Column("family", Text, nullable=False),
    Column("family_uuid", UUID, nullable=False),
    Column("version", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("slug", Text, nullable=False, unique=True),
    UniqueConstraint("family", "version"),
)

location = Table(
    "location",
    metadata,
    _id(),
    _uuid(),
    Column("code", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("country_name", Text, nullable=False),
    Column("country_code", Text, nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    _moment("paused_at"),  # since when an operator has no new servers made there, and why
    Column("paused_reason", Text, nullable=False, server_default=""),
)

cell = Table(  # one endpoint and project of the engine; the `used_` counters are moved with the servers' rows
    "cell",
    metadata,
    _id(),
    _ref("location_id", "location.id"),
    Column("name", Text, nullable=False, unique=True),
    Column("socket", Text),  # of a daemon on this machine; a remote cell has the three below instead
    Column("members", ARRAY(Text), nullable=False, server_default=text("'{}'")),  # https://host:port
    Column("certificate", Text),  # PEM; the only one that its members may show
    Column("project", Text, nullable=False),
    Column("pool", Text, nullable=False),
    Column("nic_prefix", Text, nullable=False),
    Column("nic_parent", Text),
    Column("nameservers", ARRAY(Text), nullable=False),
    Column("offers_vm", Boolean, nullable=False, server_default=text("false")),
    Column("room_vcpus", Integer, nullable=False),
    Column("room_memory_mib", Integer, nullable=False),
    Column("room_storage_gb", Integer, nullable=False),
    Column("largest_vcpus", Integer, nullable=False),
    Column("used_vcpus", Integer, nullable=False, server_default=text("0")),
    Column("used_memory_mib", Integer, nullable=False, server_default=text("0")),
    Column("used_storage_gb", Integer, nullable=False, server_default=text("0")),
    _moment("seen_at"),
    _moment("away_at"),  # since when it doesn't answer, and what it was asked last; null: it does
    Column("away_reason", Text),
    _moment("paused_at"),  # as of a location
    Column("paused_reason", Text, nullable=False, server_default=""),
    Column("creates_at_once", Integer),  # null: the installation's setting
    CheckConstraint("socket IS NOT NULL OR (certificate IS NOT NULL AND members <> '{}')", name="reached"),
    CheckConstraint("used_vcpus >= 0 AND used_memory_mib >= 0 AND used_storage_gb >= 0", name="used"),
    CheckConstraint("creates_at_once > 0", name="creates_at_once"),
    Index(None, "location_id"),
)

image = Table(
    "image",
    metadata,
    _id(),
    _ref("cell_id", "cell.id", ondelete="CASCADE"),
    _ref("system_id", "system.id"),
    Column("fingerprint", Text, nullable=False),
    Column("built_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _moment("retired_at"),
    UniqueConstraint("cell_id", "fingerprint"),
)

address_pool = Table(
    "address_pool",
    metadata,
    _id(),
    _ref("cell_id", "cell.id", ondelete="CASCADE"),
    Column("network", CIDR, nullable=False, unique=True),
)

# servers

_LISTED = text("wanted <> 'absent'")
_NOW = text("clock_timestamp()")  # when the row was made: rows of an account come in the order of their ids

server = Table(
    "server",
    metadata,
    _id(),
    _uuid(),
    _ref("account_id", "account.id"),
    Column("name", Text, nullable=False),
    Column("hostname", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("0")),  # raised with every new wish
    # what converge makes true: a level, and generations for edges
    Column("wanted", Text, nullable=False),
    Column("reboots", Integer, nullable=False, server_default=text("0")),
    Column("password_resets", Integer, nullable=False, server_default=text("0")),
    Column("password_hash", Text),
    Column("restores", Integer, nullable=False, server_default=text("0")),
    Column("restore_from", Text),  # until done or given up: a snapshot's or backup's name in the engine, or `image`
    Column("restore_begun", Boolean, nullable=False, server_default=text("false")),  # the engine was told to
    Column("restore_failure", Text),  # why it can't be done, for the customer
    Column("attempts", Integer, nullable=False, server_default=text("0")),  # at being made; each makes it anew
    _moment("admitted_at"),  # when its turn to be made came; null: it waits for it, see compute/servers/queue.py
    _moment("look_at"),  # when converge is due; null: nothing to do
    _moment("deadline_at"),  # when the transient status must have ended
    _moment("stop_told_at"),  # when it was first told to shut down on its present way
    Column("error", Text),  # why the status is `error`, for the customer
    # what was promised
    _ref("plan_id", "plan.id"),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("storage_gb", Integer, nullable=False),
    Column("price_monthly_micro", BigInteger, nullable=False),
    _ref("system_id", "system.id"),
    _ref("image_id", "image.id"),
    _ref("cell_id", "cell.id"),
    _ref("location_id", "location.id"),
    Column("authorized_keys", ARRAY(Text), nullable=False),
    Column("user_data", Text),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("backups_enabled", Boolean, nullable=False, server_default=text("false")),
    _moment("ready_at"),  # the first `active`
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    CheckConstraint("wanted IN ('running', 'stopped', 'absent')", name="wanted"),
    # one for each order and filter of the list; the first has all that is filtered by in it
    Index(
        "ix_server_listed",
        "account_id",
        "id",
        postgresql_where=_LISTED,
        postgresql_include=["name", "status", "location_id", "tags"],
    ),
    Index("ix_server_by_status", "account_id", "status", "id", postgresql_where=_LISTED),
    Index("ix_server_by_location", "account_id", "location_id", "id", postgresql_where=_LISTED),
    Index(
        "ix_server_by_name",
        "account_id",
        text("lower(name)"),
        "id",
        postgresql_where=_LISTED,
        postgresql_include=["name"],
    ),
    Index("ix_server_by_update", "account_id", "updated_at", "id", postgresql_where=_LISTED),
    Index("ix_server_due", "look_at", postgresql_where=text("look_at IS NOT NULL")),
    Index(None, "cell_id"),
    Index("ix_server_being_made", "cell_id", "account_id", postgresql_where=text("status = 'provisioning'")),
    Index(None, "image_id"),
)

server_count = Table(  # how many servers there are is the sum of `n`: triggers add rows, 0 for what else lists show
    "server_count",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("location_id", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("n", BigInteger, nullable=False),
    Index(None, "account_id"),
)

address = Table(  # the primary key is the rule: an address belongs to one server at most
    "address",
    metadata,
    Column("ip", INET, primary_key=True),
    _ref("pool_id", "address_pool.id", ondelete="CASCADE"),
    _ref("server_id", "server.id", nullable=True),
    _moment("rests_until"),
    Column("family", SmallInteger, nullable=False),
    UniqueConstraint("server_id", "family"),
    Index(
        "ix_address_free",
        "pool_id",
        text("rests_until NULLS FIRST"),
        "ip",
        postgresql_where=text("server_id IS NULL"),
    ),
)

snapshot = Table(  # a server's disk as it was; goes with the server
    "snapshot",
    metadata,
    _id(),
    _uuid(),
    _ref("account_id", "account.id"),
    _ref("server_id", "server.id", ondelete="CASCADE"),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("status", Text, nullable=False, server_default="in_progress"),
    Column("wanted", Text, nullable=False, server_default="present"),
    Column("storage_gb", Integer, nullable=False, server_default=text("0")),  # of its cell's room
    Column("size_bytes", BigInteger),  # what it alone keeps on the disk, where the engine can tell
    Column("error", Text),
    _moment("look_at"),  # when the worker is due to make it what is wanted; null: nothing to do
    _moment("deadline_at"),
    _created_at(),
    CheckConstraint("status IN ('in_progress', 'completed', 'failed')", name="status"),
    CheckConstraint("wanted IN ('present', 'absent')", name="wanted"),
    Index(None, "account_id", "id"),
    Index(None, "server_id"),
    Index("ix_snapshot_due", "look_at", postgresql_where=text("look_at IS NOT NULL")),
)

backup = Table(  # a server's disk in the store; outlives the server, so what is known of that is here
    "backup",
    metadata,
    _id(),
    _uuid(),
    _ref("account_id", "account.id"),
    Column("server_id", BigInteger, nullable=False),
    Column("server_uuid", UUID, nullable=False),
    Column("server_name", Text, nullable=False),
    _ref("system_id", "system.id", nullable=True),  # null, here and below: made before it was noted
    Column("storage_gb", Integer),
    Column("backup_type", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("status", Text, nullable=False, server_default="in_progress"),
    Column("wanted", Text, nullable=False, server_default="present"),
    Column("size_bytes", BigInteger),  # of what was read; the store keeps less
    Column("manifest", Text),  # SHA-256 of what is noted of every file, taken while it was stored
    Column("error", Text),
    Column("lent_to", ARRAY(BigInteger), nullable=False, server_default=text("'{}'")),  # cells with an image of it
    # the proof that it can be restored
    _moment("verified_at"),  # when it last was
    _moment("verify_failed_at"),  # when it last couldn't be, and why
    Column("verify_error", Text),
    _ref("verify_cell_id", "cell.id", nullable=True, ondelete="SET NULL"),  # where a throw-away machine may be
    _moment("verify_deadline_at"),  # null: no verification is under way
    _moment("expires_at"),
    _moment("look_at"),  # when the worker is due to make it what is wanted; null: nothing to do
    _moment("deadline_at"),
    _created_at(),
    CheckConstraint("backup_type IN ('manual', 'automatic')", name="backup_type"),
    CheckConstraint("status IN ('in_progress', 'completed', 'failed')", name="status"),
    CheckConstraint("wanted IN ('present', 'absent')", name="wanted"),
    Index(None, "account_id", "id"),
    Index(None, "server_id"),
    Index("ix_backup_due", "look_at", postgresql_where=text("look_at IS NOT NULL")),
    Index("ix_backup_verifying", "verify_cell_id", postgresql_where=text("verify_cell_id IS NOT NULL")),
)

usage = Table(  # the latest measured use of each server
    "usage",
    metadata,
    Column(
        "server_id",
        BigInteger,
        ForeignKey("server.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("sampled_at", DateTime(timezone=True), nullable=False),
    Column("cpu_seconds", Numeric, nullable=False),  # the engine's counters at that moment
    Column("received_bytes", BigInteger, nullable=False),
    Column("sent_bytes", BigInteger, nullable=False),
    Column("cpu_percent", Numeric, nullable=False),
    Column("memory_used_bytes", BigInteger, nullable=False),
    Column("disk_used_bytes", BigInteger, nullable=False),
    Column("month", Text, nullable=False),  # YYYY-MM of the two totals below
    Column("month_received_bytes", BigInteger, nullable=False),
    Column("month_sent_bytes", BigInteger, nullable=False),
)


_REAL: REAL[float] = REAL()


def _history(name: str, begins: str) -> Table:
    """Return a table of what servers used in equal steps of time; its partitions are made and dropped by the worker.

    No foreign key: a deleted server's rows stay until their partition goes.
    """
    return Table(
        name,
        metadata,
        Column("server_id", BigInteger, nullable=False, autoincrement=False),
        Column(begins, DateTime(timezone=True), nullable=False),
        Column("samples", Integer, nullable=False),
        Column("seconds", _REAL, nullable=False),  # that were measured
        Column("vcpu_seconds", _REAL, nullable=False),  # of the plan, in them
        Column("cpu_seconds", _REAL, nullable=False),
        Column("memory_used_bytes", BigInteger, nullable=False),  # mean of the samples
        Column("disk_used_bytes", BigInteger, nullable=False),  # as above
        Column("received_bytes", BigInteger, nullable=False),
        Column("sent_bytes", BigInteger, nullable=False),
        PrimaryKeyConstraint("server_id", begins),
        postgresql_partition_by=f"RANGE ({begins})",
    )


usage_minute = _history("usage_minute", "at")
usage_5min = _history("usage_5min", "at")
usage_hour = _history("usage_hour", "hour")  # billing takes a server's traffic from it

console_ticket = Table(  # opens a server's serial console once; the console process takes it
    "console_ticket",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # SHA-256
    _ref("server_id", "server.id", ondelete="CASCADE"),
    _ref("token_id", "token.id", ondelete="CASCADE"),
    Column("session_digest", LargeBinary),  # of the session that asked; null: a token did
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Index(None, "expires_at"),
    Index(None, "server_id"),
    Index(None, "token_id"),
)

# what happens to them

action = Table(  # `subject_id` is no foreign key: an action outlives what it did something to
    "action",
    metadata,
    _id(),
    _uuid(),
    _ref("account_id", "account.id"),
    Column("kind", Text, nullable=False),  # e.g. server.create
    Column("subject_id", BigInteger, nullable=False),
    Column("exclusive", Boolean, nullable=False),
    Column("status", Text, nullable=False, server_default="running"),
    Column("progress", SmallInteger, nullable=False, server_default=text("0")),  # percent of its steps
    Column("before", JSONB(none_as_null=True)),  # what is put back should it fail
    Column("error", Text),
    Column("cancelled_for", Text),  # an operator wants it ended, for this reason
    _moment("started_at"),  # when a worker first looked
    _moment("finished_at"),
    _created_at(),
    CheckConstraint("progress BETWEEN 0 AND 100", name="progress"),
    CheckConstraint("status IN ('running', 'completed', 'failed', 'cancelled')", name="status"),
    CheckConstraint("(status = 'running') = (finished_at IS NULL)", name="finished"),
    Index(None, "subject_id"),
    Index(
        "uq_action_exclusive",
        "subject_id",
        unique=True,
        postgresql_where=text("exclusive AND finished_at IS NULL"),
    ),
    Index(  # the quota of creates an hour counts them
        "ix_action_creates", "account_id", "created_at", postgresql_where=text("kind = 'server.create'")
    ),
)

event = Table(  # what an account may want to know, in the order it was committed; triggers add it, none changes it
    "event",
    metadata,
    Column("account_id", BigInteger, nullable=False),  # no foreign key: at commit its check would wait for a create
    Column("number", BigInteger, nullable=False, autoincrement=False),  # 1, 2, 3, ... of the account, without a gap
    Column("kind", Text, nullable=False),
    Column("server_id", BigInteger),  # of what it is about; no foreign key: it outlives the server
    Column("data", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    PrimaryKeyConstraint("account_id", "number"),
    Index(None, "created_at"),
)

event_head = Table(  # the number of an account's newest event: its row is locked from numbering to commit
    "event_head",
    metadata,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)

webhook = Table(  # where an account wants its events sent
    "webhook",
    metadata,
    _id(),
    _uuid(),
    _ref("account_id", "account.id", ondelete="CASCADE"),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("kinds", ARRAY(Text), nullable=False, server_default=text("'{}'")),  # empty: all
    Column("secret", LargeBinary, nullable=False),  # the key that signs: needed for each delivery, so kept as it is
    Column("previous_secret", LargeBinary),  # signs as well until then, while the receiver changes over
    _moment("previous_secret_until"),
    _moment("failing_since"),  # of the first failure after the last success
    _moment("disabled_at"),
    Column("disabled_reason", Text, nullable=False, server_default=""),
    _created_at(),
    Index(None, "account_id", "id"),
)

webhook_delivery = Table(  # an event on its way to a webhook; added with the event, by its trigger
    "webhook_delivery",
    metadata,
    _id(),
    _uuid(),  # the message's id for its receiver, the same for every attempt
    _ref("webhook_id", "webhook.id", ondelete="CASCADE"),
    Column("lane", BigInteger, nullable=False),  # the server's id, or 0; one at a time of a lane, in the order of ids
    Column("kind", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", DateTime(timezone=True), nullable=False, server_default=_NOW),  # not before
    Column("give_up_at", DateTime(timezone=True), nullable=False),
    Column("answer_status", SmallInteger),  # of the last attempt; null: there was no answer
    Column("error", Text),
    _moment("attempted_at"),
    _moment("finished_at"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=_NOW),
    CheckConstraint("status IN ('pending', 'delivered', 'failed')", name="status"),
    Index(None, "webhook_id", "id"),
    Index(None, "created_at"),
    Index("ix_webhook_delivery_lanes", "webhook_id", "lane", "id", postgresql_where=text("status = 'pending'")),
    Index("ix_webhook_delivery_due", "next_at", postgresql_where=text("status = 'pending'")),
)

audit_entry = Table(  # who, from where, with which token, did what to what; a trigger refuses every change
    "audit_entry",
    metadata,
    _id(),
    Column("account_id", BigInteger),  # null: root on the host, or nobody we know
    Column("token_id", BigInteger),
    Column("token_name", Text),
    Column("request_id", Text),
    Column("client_address", INET),
    Column("operation", Text, nullable=False),
    Column("subject", Text, nullable=False, server_default=""),
    Column("details", JSONB, nullable=False, server_default=text("'{}'")),
    _created_at(),
    Index(None, "account_id", text("id DESC")),
)

idempotency_key = Table(  # a POST's answer, for who repeats it
    "idempotency_key",
    metadata,
    _ref("account_id", "account.id", ondelete="CASCADE"),
    Column("key", Text, nullable=False),
    Column("asked", LargeBinary, nullable=False),  # SHA-256 of path, query and body
    Column("status", SmallInteger, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    _created_at(),
    PrimaryKeyConstraint("account_id", "key"),
    Index(None, "created_at"),
)

turn = Table(  # whose turn a periodic watcher is: taken by one worker an interval
    "turn",
    metadata,
    Column("name", Text, primary_key=True),
    Column("taken_at", DateTime(timezone=True), nullable=False),
)

consistency_report = Table(  # a look at whether engine and database agree, and what it found
    "consistency_report",
    metadata,
    _id(),
    _uuid(),
    Column("asked_by", Text, nullable=False),  # night, or who wanted it
    Column("repair", Boolean, nullable=False, server_default=text("false")),
    Column("status", Text, nullable=False, server_default="queued"),
    Column("found", Integer),  # what is left of it is `result`'s findings
    Column("repaired", Integer),
    Column("unseen", Integer),  # cells that couldn't be looked at
    Column("result", JSONB(none_as_null=True)),
    _moment("started_at"),
    _moment("finished_at"),
    _created_at(),
    CheckConstraint("status IN ('queued', 'running', 'completed')", name="status"),
)

skipped_numbers = Table(  # that no row ever had: what is named after them in engine and store is another's
    "skipped_numbers",
    metadata,
    Column("of", Text, nullable=False),  # the table
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    PrimaryKeyConstraint("of", "first"),
)
