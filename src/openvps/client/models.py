"""What the API answers. Written from the OpenAPI document by `python tests/test_docs.py`; edit nothing here."""

from __future__ import annotations

from typing import Any

from openvps.client.answer import Answer


class Accepted(Answer):
    """The account that has a password now."""

    email: str
    """The e-mail to sign in with."""


class Account(Answer):
    """An account, as an operator sees it."""

    id: int
    """The account's number."""

    uuid: str
    """The account's UUID."""

    email: str
    """The e-mail address to sign in with; capitals don't matter."""

    first_name: str
    """The person's first name."""

    last_name: str
    """The person's last name."""

    company_name: str
    """The company's name."""

    is_operator: bool
    """Whether it may administer all accounts; set on the host only."""

    max_servers: int | None
    """How many servers it may have; null: the installation's setting."""

    max_vcpus: int | None
    """How many vCPUs its servers may have together; null: the installation's setting."""

    creates_an_hour: int | None
    """How many servers it may create in any 60 minutes; null: the installation's setting."""

    has_password: bool
    """Whether somebody can sign in."""

    second_factor: bool
    """Whether signing in asks for a code besides the password."""

    invite_expires_at: str | None
    """When the unused invite ends, UTC; null: there is none."""

    disabled_at: str | None
    """When it was disabled, UTC; null: it isn't."""

    disabled_reason: str
    """Why it was disabled."""

    empty_at: str | None
    """Since when it has no credit, UTC; null: it has."""

    unpaid_at: str | None
    """Since when its servers are suspended for lack of credit, UTC; null: they aren't."""

    servers_end_at: str | None
    """When its servers are deleted for lack of credit, UTC; null: they aren't."""

    suspended_at: str | None
    """Since when an operator has its servers suspended, UTC; null: none has."""

    suspended_reason: str
    """Why; its customer is told."""

    created_at: str
    """When it was made, UTC."""


class AccountDetail(Answer):
    """An account with what it has."""

    id: int
    """The account's number."""

    uuid: str
    """The account's UUID."""

    email: str
    """The e-mail address to sign in with; capitals don't matter."""

    first_name: str
    """The person's first name."""

    last_name: str
    """The person's last name."""

    company_name: str
    """The company's name."""

    is_operator: bool
    """Whether it may administer all accounts; set on the host only."""

    max_servers: int | None
    """How many servers it may have; null: the installation's setting."""

    max_vcpus: int | None
    """How many vCPUs its servers may have together; null: the installation's setting."""

    creates_an_hour: int | None
    """How many servers it may create in any 60 minutes; null: the installation's setting."""

    has_password: bool
    """Whether somebody can sign in."""

    second_factor: bool
    """Whether signing in asks for a code besides the password."""

    invite_expires_at: str | None
    """When the unused invite ends, UTC; null: there is none."""

    disabled_at: str | None
    """When it was disabled, UTC; null: it isn't."""

    disabled_reason: str
    """Why it was disabled."""

    empty_at: str | None
    """Since when it has no credit, UTC; null: it has."""

    unpaid_at: str | None
    """Since when its servers are suspended for lack of credit, UTC; null: they aren't."""

    servers_end_at: str | None
    """When its servers are deleted for lack of credit, UTC; null: they aren't."""

    suspended_at: str | None
    """Since when an operator has its servers suspended, UTC; null: none has."""

    suspended_reason: str
    """Why; its customer is told."""

    created_at: str
    """When it was made, UTC."""

    servers: int
    """How many servers it has."""

    balance: float
    """Its balance, in the installation's currency."""

    held: float
    """What of it is held for servers."""


class AccountInUse(Answer):
    """Who pays; `balance` and what of it is `held` for servers, in the installation's currency."""

    email: str
    """The account's e-mail address."""

    first_name: str
    """First name."""

    last_name: str
    """Last name."""

    company_name: str
    """The company's name; may be empty."""

    created_at: str
    """The day on which the account was made."""

    balance: float | None = None
    """Credit, in the installation's currency."""

    held: float | None = None
    """What of it is held for servers."""


class AdminAction(Answer):
    """An unfinished action of anybody's."""

    id: int
    """The action's id."""

    uuid: str
    """The action's UUID."""

    kind: str
    """What is done: the thing's kind, and the verb."""

    subject_id: int
    """The id of what it is done to."""

    subject_status: str | None
    """The status of that; null: there is no such thing."""

    account_id: int
    """Whose it is."""

    cell: str | None
    """The cell that it is in."""

    progress: int
    """How far it is, in percent of its steps."""

    stuck: bool
    """Whether its cell is away, nobody is to look, or it has gone on for ten minutes."""

    cancelled_for: str | None
    """Why an operator wants it ended; null: none does."""

    created_at: str
    """When it was asked for, UTC."""

    deadline_at: str | None
    """When it is given up, UTC; null: never."""

    look_at: str | None
    """When a worker looks next, UTC; null: none will."""


class AdminCell(Answer):
    """A cell: an endpoint of the engine, with its room."""

    id: int
    """The cell's id."""

    name: str
    """The cell's name."""

    location: str
    """Code of the location that it is in."""

    servers: int
    """How many servers it has."""

    being_made: int
    """How many servers are being made in it."""

    waiting: int
    """How many servers wait for their turn to be made."""

    creates_at_once: int
    """How many servers are made in it at once."""

    used_vcpus: int
    """vCPUs that its servers take."""

    room_vcpus: int
    """vCPUs that it has for servers."""

    used_memory_mib: int
    """Memory that its servers take, in MiB."""

    room_memory_mib: int
    """Memory that it has for servers, in MiB."""

    used_storage_gb: int
    """Disk that its servers take, in GB."""

    room_storage_gb: int
    """Disk that it has for servers, in GB."""

    seen_at: str | None
    """When it answered last, UTC."""

    away_at: str | None
    """Since when it doesn't answer, UTC."""

    away_reason: str | None
    """What came of asking it."""

    paused_at: str | None
    """Since when it takes no new servers, UTC; null: it does."""

    paused_reason: str
    """Why it takes none."""


class AdminLocation(Answer):
    """A location, and whether new servers are made there."""

    id: int
    """The location's id."""

    code: str
    """Its code: what `location` names."""

    name: str
    """Its name."""

    paused_at: str | None
    """Since when it takes no new servers, UTC; null: it does."""

    paused_reason: str
    """Why it takes none."""


class AuditEntry(Answer):
    """Who, from where, with which token, did what to what."""

    id: int
    """The entry's number; later ones are higher."""

    created_at: str
    """When it happened, UTC."""

    operation: str
    """What was done: the operationId of a request, or `sign_in`, `sign_in_failed`."""

    subject: str
    """What it was done to; may be empty."""

    account_id: int | None
    """Whose token did it; null: root on the host, or somebody unknown."""

    token_id: int | None
    """The token it was done with; null: none was needed."""

    token_name: str | None
    """That token's name at the time."""

    client_address: str | None
    """The address that the request came from."""

    request_id: str | None
    """The request's `X-Request-Id`."""

    details: dict[str, str]
    """More about it, for example a reason."""


class BackupPart(Answer):
    """The backup that is restored."""

    id: int
    """The backup's id."""

    created_at: str
    """When it was asked for, UTC."""


class BegunSecondFactor(Answer):
    """A key for an authenticator app, which counts once a code of it was confirmed."""

    secret: str | None
    """The key, to be typed into the app. Shown in this answer only."""

    otpauth_url: str | None
    """The same, as apps read it from a QR code. Shown in this answer only."""

    not_repeated: dict[str, str] | None = None
    """Only in the answer to a repeated Idempotency-Key: what is null here, and why."""


class ChangedPlan(Answer):
    """A plan that was changed."""

    id: int
    """The plan's id: what `plan_id` names."""

    uuid: str
    """The plan's UUID."""

    slug: str
    """Its name in addresses and commands."""

    name: str
    """Its name."""

    kind: str
    """`vm`, a machine of its own, or `container`, which shares the host's kernel."""

    vcpus: int
    """Virtual CPUs."""

    memory_mib: int
    """Memory, in MiB."""

    storage_gb: int
    """Disk, in GB."""

    bandwidth_gb: int
    """Traffic included, in GB a month."""

    price: str
    """Price of a month, in the installation's currency."""

    description: str
    """What it is for."""

    servers: int
    """How many servers have it."""

    retired_at: str | None
    """Since when it isn't sold any more, UTC; null: it is."""

    servers_changed: int
    """How many servers have another price now."""


class ConfirmedSecondFactor(Answer):
    """A second factor that is asked for from now on."""

    enabled: bool
    """Whether a code is asked for."""

    enabled_at: str | None
    """Since when, UTC; null: it isn't."""

    recovery_codes_left: int
    """How many recovery codes are unused."""

    recovery_codes: list[str] | None
    """Each lets you in once, without the app. Keep them apart from the password: they are shown in this answer only."""

    not_repeated: dict[str, str] | None = None
    """Only in the answer to a repeated Idempotency-Key: what is null here, and why."""


class Delivery(Answer):
    """An event on its way to a webhook, or how it ended."""

    id: int
    """The delivery's id."""

    uuid: str
    """Its UUID."""

    webhook_id: int
    """The webhook that it is for."""

    message_id: str
    """The header `webhook-id`, the same at every attempt."""

    kind: str
    """The event's kind."""

    status: str
    """`pending`, `delivered`, or `failed`: it was given up after a day."""

    attempts: int
    """How often it was sent."""

    answer_status: int | None
    """The status of the last answer; null: there was none."""

    error: str | None
    """What was wrong the last time; null: nothing."""

    next_at: str | None
    """When it is sent next, UTC, at the earliest; null: not again."""

    attempted_at: str | None
    """When it was sent last, UTC; null: not yet."""

    created_at: str
    """When the event was, UTC."""

    body: dict[str, Any]
    """What is sent: `type`, `timestamp`, the event's `id`, `server_id` and `data`."""


class LedgerEntry(Answer):
    """An entry of the ledger; the balance is the sum of all."""

    id: int
    """The entry's id."""

    at: str
    """When, UTC; of a charge: when its hour began."""

    kind: str
    """`hour` or `traffic` (a server's), `credit` (a payment) or `adjustment`."""

    amount: str
    """Less than 0: a charge."""

    server_id: int | None
    """The server's id; null: no server's."""

    server_name: str | None
    """The server's name when it was made; null: no server's."""

    traffic_gb: float | None
    """GB of traffic beyond what is included, less than 0 where a larger plan includes them later; null: it is for none."""

    reason: str
    """What was said of it."""


class Event(Answer):
    """Something that happened."""

    id: int
    """Its number in your account: 1, 2, 3, …, without a gap."""

    kind: str
    """What happened."""

    created_at: str
    """When, UTC."""

    server_id: int | None
    """The server that it is about; null where it is about none."""

    data: dict[str, Any]
    """What it is about, as it was then: `server` and `previous_status`, `action`, `backup` or `notice`."""


class Finding(Answer):
    """One thing that engine and database, or two rows, don't agree on."""

    kind: str
    """What it is: machine, snapshot, volume, image, profile, server, backup, address, hold, meter, action, job or room."""

    problem: str
    """`orphan`: it is nobody's. `missing`: it should be there. `differs`: it should be otherwise. `stuck`: nobody sees to its end."""

    subject: str
    """Its name in the engine, its address, or its number."""

    text: str
    """The finding in words."""

    repair: str | None
    """What a repair does about it; null: a person must decide."""

    cell: str | None
    """The cell that it is in."""


class InvitedAccount(Answer):
    """An account, and an invite where it needs one: shown in this answer only."""

    id: int
    """The account's number."""

    uuid: str
    """The account's UUID."""

    email: str
    """The e-mail address to sign in with; capitals don't matter."""

    first_name: str
    """The person's first name."""

    last_name: str
    """The person's last name."""

    company_name: str
    """The company's name."""

    is_operator: bool
    """Whether it may administer all accounts; set on the host only."""

    max_servers: int | None
    """How many servers it may have; null: the installation's setting."""

    max_vcpus: int | None
    """How many vCPUs its servers may have together; null: the installation's setting."""

    creates_an_hour: int | None
    """How many servers it may create in any 60 minutes; null: the installation's setting."""

    has_password: bool
    """Whether somebody can sign in."""

    second_factor: bool
    """Whether signing in asks for a code besides the password."""

    invite_expires_at: str | None
    """When the unused invite ends, UTC; null: there is none."""

    disabled_at: str | None
    """When it was disabled, UTC; null: it isn't."""

    disabled_reason: str
    """Why it was disabled."""

    empty_at: str | None
    """Since when it has no credit, UTC; null: it has."""

    unpaid_at: str | None
    """Since when its servers are suspended for lack of credit, UTC; null: they aren't."""

    servers_end_at: str | None
    """When its servers are deleted for lack of credit, UTC; null: they aren't."""

    suspended_at: str | None
    """Since when an operator has its servers suspended, UTC; null: none has."""

    suspended_reason: str
    """Why; its customer is told."""

    created_at: str
    """When it was made, UTC."""

    invite: str | None
    """Hand it on: it sets the password once, within 7 days. Null: the account has a password."""

    not_repeated: dict[str, str] | None = None
    """Only in the answer to a repeated Idempotency-Key: what is null here, and why."""


class InvoiceSummary(Answer):
    """A month's invoice in a list."""

    id: str
    """The month, UTC; it names the invoice."""

    currency: str
    """The currency, ISO 4217."""

    total: str
    """The sum, rounded once."""


class SshKey(Answer):
    """An SSH key of the account; the fingerprint is as OpenSSH writes it."""

    id: int | None = None
    """The key's id: what `ssh_key_id` names."""

    uuid: str
    """The key's UUID."""

    name: str
    """Its name."""

    fingerprint: str
    """Its fingerprint, as OpenSSH writes it."""

    public_key: str | None = None
    """The public key."""

    created_at: str
    """When it was made, UTC."""

    last_used_at: str | None
    """When a server was last made with it, UTC; null: never."""


class InvoiceLine(Answer):
    """What one server's hours or traffic cost, or one adjustment."""

    description: str
    """What it is for."""

    server_id: int | None
    """The server's id; null: no server's."""

    hours: int | None
    """How many hours were begun; null: none are meant."""

    traffic_gb: float | None
    """GB of traffic beyond what is included; null: none are meant."""

    amount: str
    """What it costs, exactly."""


class AccountList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[Account]
    """What is on this page."""


class AdminActionList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[AdminAction]
    """What is on this page."""


class AdminCellList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[AdminCell]
    """What is on this page."""


class AdminLocationList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[AdminLocation]
    """What is on this page."""


class AuditEntryList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[AuditEntry]
    """What is on this page."""


class DeliveryList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[Delivery]
    """What is on this page."""


class LedgerEntryList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[LedgerEntry]
    """What is on this page."""


class EventList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[Event]
    """What is on this page."""


class InvoiceSummaryList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[InvoiceSummary]
    """What is on this page."""


class SshKeyList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[SshKey]
    """What is on this page."""


class Location(Answer):
    """A place where servers can be; `code` is what `location` names everywhere else."""

    id: int
    """The location's id."""

    uuid: str | None = None
    """The location's UUID."""

    code: str | None = None
    """Its code: what `location` names."""

    name: str
    """Its name."""

    country_name: str
    """Its country."""

    country_code: str
    """Its country's code, ISO 3166-1."""

    is_active: bool
    """Whether new servers can be made there."""


class MadeToken(Answer):
    """A new token, with its text: shown in this answer only."""

    id: int
    """The token's number."""

    uuid: str
    """The token's UUID."""

    name: str
    """Its name."""

    permissions: list[str]
    """What it may do."""

    created_at: str
    """When it was made, UTC."""

    expires_at: str | None
    """When it ends, UTC; null: never."""

    last_used_at: str | None
    """When it was last used, UTC, to the minute; null: never."""

    revoked: bool
    """Whether it was revoked: it opens nothing any more."""

    token: str | None
    """The token's text, for the header `Authorization: Bearer <token>`. Keep it now: it is not shown again."""

    not_repeated: dict[str, str] | None = None
    """Only in the answer to a repeated Idempotency-Key: what is null here, and why."""


class MadeWebhook(Answer):
    """A webhook with a new secret, the one that verifies its deliveries: shown in this answer only."""

    id: int
    """The webhook's id."""

    uuid: str
    """The webhook's UUID."""

    url: str
    """Where events are sent."""

    kinds: list[str]
    """Which kinds are sent; empty: all."""

    description: str
    """What it is for."""

    enabled: bool
    """Whether events are sent."""

    disabled_reason: str | None
    """Why it was disabled, where we did it; else null."""

    failing_since: str | None
    """Since when no delivery succeeded, UTC; null: the last did."""

    previous_secret_until: str | None
    """Until when the secret before signs as well, UTC; null: it doesn't."""

    created_at: str
    """When it was made, UTC."""

    secret: str | None
    """What verifies the deliveries' signatures. Keep it now: it is not shown again."""

    not_repeated: dict[str, str] | None = None
    """Only in the answer to a repeated Idempotency-Key: what is null here, and why."""


class Notice(Answer):
    """What your account was told about its credit and its backups."""

    id: int
    """The notice's id."""

    kind: str
    """`low`, `empty`, `suspended`, `restored`, `deletion`, `deletion_called_off`, `backup_failed` or `backup_unverified`."""

    text: str
    """What was told, and what to do."""

    created_at: str
    """When, UTC."""


class Plan(Answer):
    """A plan in both dialects; memory in MiB, storage and bandwidth in GB; `locations` have room for it now."""

    id: int
    """The plan's id: what `plan_id` names."""

    uuid: str | None = None
    """The plan's UUID."""

    name: str
    """Its name."""

    slug: str
    """Its name in addresses and commands."""

    kind: str | None = None
    """`vm`, a machine of its own, or `container`, which shares the host's kernel."""

    vcpus: int
    """Virtual CPUs."""

    cpu: int | None = None
    """The same as `vcpus`."""

    memory: int
    """Memory, in MiB."""

    ram: int | None = None
    """The same as `memory`."""

    ram_unit: str | None = None
    """The unit of `ram`."""

    storage: int
    """Disk, in GB."""

    disk_space: int | None = None
    """The same as `storage`."""

    bandwidth: int
    """Traffic included, in GB a month."""

    transfer: int | None = None
    """The same as `bandwidth`."""

    price_monthly: float
    """Price of a month; no month costs more."""

    price_hourly: float
    """Price of an hour, rounded for display."""

    monthly_price: str | None = None
    """The same as `price_monthly`, as a text."""

    hourly_price: str | None = None
    """The same as `price_hourly`, as a text."""

    available: bool
    """Whether it can be had anywhere now."""

    locations: list[str]
    """Codes of the locations where it can be had now."""

    description: str
    """What it is for."""


class PlanDetail(Answer):
    """With the bandwidth, in GB a month."""

    id: int
    """The plan's id."""

    name: str
    """The plan's name."""

    vcpus: int
    """Virtual CPUs."""

    memory: int
    """Memory, in MiB."""

    storage: int
    """Disk, in GB."""

    bandwidth: int
    """Traffic included, in GB a month."""


class PlanPart(Answer):
    """The plan a server was promised; memory in MiB, storage in GB."""

    id: int
    """The plan's id."""

    name: str
    """The plan's name."""

    vcpus: int
    """Virtual CPUs."""

    memory: int
    """Memory, in MiB."""

    storage: int
    """Disk, in GB."""


class PoweredServer(Answer):
    """The server a power request was for."""

    id: int
    """The server's id."""

    name: str
    """The server's name."""

    status: str
    """What it is doing now."""


class Price(Answer):
    """What a server costs, and how much credit must be there: the first `held_hours` hours are held."""

    currency: str
    """The currency, ISO 4217."""

    monthly: float
    """Price of a month; no month costs more."""

    hourly: float
    """Price of an hour, rounded for display."""

    held: float
    """Credit that is held for the first hours."""

    held_hours: int
    """How many hours that is."""


class Refusal(Answer):
    """One thing for which a create would be refused: the status, and the body's texts."""

    status: int
    """The status that the create would be answered with."""

    texts: dict[str, list[str]]
    """What is wrong, field by field; `detail` where it is no field's."""


class Report(Answer):
    """A look at whether engine and database agree."""

    id: int
    """The report's number; later ones are higher."""

    uuid: str
    """The report's UUID."""

    status: str
    """`queued`, `running` or `completed`."""

    asked_by: str
    """Who wanted it; `night`: nobody in particular."""

    repair: bool
    """Whether what could be mended was."""

    found: int | None
    """How many findings there are, after any repair; null before."""

    repaired: int | None
    """How many were mended; null before."""

    unseen: int | None
    """How many cells couldn't be looked at; null before."""

    created_at: str
    """When it was asked for, UTC."""

    finished_at: str | None
    """When it was done, UTC; null before."""


class Resized(Answer):
    """What a resize answers at once; `restart` announces one."""

    status: str
    """`success`: the server is on its way."""

    message: str
    """What happens now."""

    server: PoweredServer
    """The server that it happens to."""

    action_id: int
    """The action to follow, at `/actions/{action_id}/`."""

    restart: bool
    """Whether the server is restarted for it."""


class ResourceUse(Answer):
    """What was measured last: percent of the plan's vCPUs, MiB, GB, and GB this month; null before the first time."""

    cpu_percent: float | None
    """CPU in use, in percent of the plan's; null before the first measurement."""

    memory_used: int | None
    """Memory in use, in MiB; null before the first measurement."""

    disk_used: float | None
    """Disk in use, in GB; null before the first measurement."""

    bandwidth_used: float | None
    """Traffic of this month, in GB; null before the first measurement."""


class RestoredServer(Answer):
    """The server, on its way."""

    id: int
    """The server's id."""

    name: str
    """The server's name."""

    status: str
    """`restoring`."""


class RestoringBackup(Answer):
    """What a restore answers at once; the server gets there by itself."""

    status: str
    """`success`: the server is on its way."""

    message: str
    """What happens now."""

    backup: BackupPart | None = None
    """The backup that it is restored from."""

    server: RestoredServer
    """The server that it happens to."""

    action_id: int | None = None
    """The action to follow, at `/actions/{action_id}/`."""


class SecondFactor(Answer):
    """Whether signing in with the password asks for a code as well."""

    enabled: bool
    """Whether a code is asked for."""

    enabled_at: str | None
    """Since when, UTC; null: it isn't."""

    recovery_codes_left: int
    """How many recovery codes are unused."""


class SnapshotPart(Answer):
    """The snapshot that is restored."""

    id: int
    """The snapshot's id."""

    name: str
    """Its name."""

    created_at: str
    """When it was asked for, UTC."""


class SoldPlan(Answer):
    """A plan as operators see it, on offer or retired."""

    id: int
    """The plan's id: what `plan_id` names."""

    uuid: str
    """The plan's UUID."""

    slug: str
    """Its name in addresses and commands."""

    name: str
    """Its name."""

    kind: str
    """`vm`, a machine of its own, or `container`, which shares the host's kernel."""

    vcpus: int
    """Virtual CPUs."""

    memory_mib: int
    """Memory, in MiB."""

    storage_gb: int
    """Disk, in GB."""

    bandwidth_gb: int
    """Traffic included, in GB a month."""

    price: str
    """Price of a month, in the installation's currency."""

    description: str
    """What it is for."""

    servers: int
    """How many servers have it."""

    retired_at: str | None
    """Since when it isn't sold any more, UTC; null: it is."""


class Subject(Answer):
    """What an action is done to; `type` is e.g. `server`."""

    type: str
    """What kind of thing it is."""

    id: int
    """Its id."""


class SystemPart(Answer):
    """A server's operating system."""

    id: int
    """The operating system's id."""

    name: str
    """The operating system's name."""


class Ticket(Answer):
    """The way to a server's serial console: good once, for 30 seconds."""

    url: str
    """The websocket to open."""

    ticket: str | None
    """What to send there first, as the text message `{"ticket": "…"}`; what follows is typed. Shown in this answer only."""

    expires_at: str
    """Until when it opens the console, UTC."""

    not_repeated: dict[str, str] | None = None
    """Only in the answer to a repeated Idempotency-Key: what is null here, and why."""


class Token(Answer):
    """An API token, without its text, which nobody can show again."""

    id: int
    """The token's number."""

    uuid: str
    """The token's UUID."""

    name: str
    """Its name."""

    permissions: list[str]
    """What it may do."""

    created_at: str
    """When it was made, UTC."""

    expires_at: str | None
    """When it ends, UTC; null: never."""

    last_used_at: str | None
    """When it was last used, UTC, to the minute; null: never."""

    revoked: bool
    """Whether it was revoked: it opens nothing any more."""


class TokenInUse(Answer):
    """The token that the request was made with."""

    name: str
    """The token's name."""

    permissions: list[str]
    """What it may do."""

    created_at: str | None = None
    """When it was made, UTC."""

    last_used_at: str | None = None
    """When it was last used, UTC, to the minute; null: never."""

    expires_at: str | None = None
    """When it ends, UTC; null: never."""


class Traffic(Answer):
    """A server's traffic this month; it counts in the direction in which it is larger."""

    used_gb: float
    """GB received or sent so far, the larger of both."""

    included_gb: float
    """GB that are included, if the server stays; after its end, for the hours that it had."""

    cost: str
    """What the GB beyond these have cost so far."""

    forecast: str
    """What they will have cost at the month's end, at its pace so far."""


class Unseen(Answer):
    """A cell that couldn't be looked at."""

    cell: str
    """The cell's name."""

    reason: str
    """Why it couldn't."""


class MetricValue(Answer):
    """One value."""

    at: str
    """When its step begins, UTC."""

    value: float
    """A mean over the step for cpu, memory and disk; else a sum."""


class SystemVersion(Answer):
    """An operating system's version; `id` is what `os_id` names, and `available` says whether an image is there."""

    id: int | None = None
    """The version's id: what `os_id` names."""

    uuid: str
    """The version's UUID: what `os_version` may name."""

    name: str
    """Its name."""

    slug: str | None = None
    """Its name in commands."""

    available: bool | None = None
    """Whether an image is there to make servers from."""


class Webhook(Answer):
    """An address that events are sent to."""

    id: int
    """The webhook's id."""

    uuid: str
    """The webhook's UUID."""

    url: str
    """Where events are sent."""

    kinds: list[str]
    """Which kinds are sent; empty: all."""

    description: str
    """What it is for."""

    enabled: bool
    """Whether events are sent."""

    disabled_reason: str | None
    """Why it was disabled, where we did it; else null."""

    failing_since: str | None
    """Since when no delivery succeeded, UTC; null: the last did."""

    previous_secret_until: str | None
    """Until when the secret before signs as well, UTC; null: it doesn't."""

    created_at: str
    """When it was made, UTC."""


class BackupServerPart(Answer):
    """The server that a backup is of, perhaps deleted since."""

    id: int
    """The server's id."""

    name: str
    """The server's name."""


class CreatedServer(Answer):
    """A server just ordered: it has no address yet."""

    id: int
    """The server's id."""

    uuid: str | None = None
    """The server's UUID; either names it in a path."""

    name: str
    """The server's name."""

    hostname: str
    """The host name that it was given."""

    status: str
    """`active`, `stopped`, `suspended` or `error`; on its way: `provisioning`, `starting`, `stopping`, `rebooting`, `resizing`, `restoring`, `rebuilding` or `deleting`."""

    unreachable: bool | None = None
    """Whether its host doesn't answer us now: then what is shown is what was last known."""

    error: str | None = None
    """Why the last thing asked for failed; null where nothing did."""

    ip_address: str | None
    """The first IPv4 address; null until there is one."""

    ipv4_addresses: list[str] | None = None
    """All IPv4 addresses."""

    ipv6_addresses: list[str] | None = None
    """All IPv6 addresses."""

    location: str
    """The location's code."""

    location_name: str | None = None
    """The location's name."""

    plan_name: str | None = None
    """The plan's name."""

    os: SystemPart
    """The operating system."""

    os_name: str | None = None
    """The operating system's name."""

    deployed: bool | None = None
    """Whether it has been ready for its first login."""

    tags: list[str] | None = None
    """Labels of your own."""

    created_at: str
    """When it was made, UTC."""

    updated_at: str
    """When it last changed, UTC."""

    plan: PlanPart
    """What the server was promised."""

    backups_enabled: bool
    """Whether it is backed up every day."""

    message: str
    """What happens now, and how long it usually takes."""


class SnapshotServerPart(Answer):
    """The server that a snapshot is of."""

    id: int
    """The server's id."""

    name: str
    """The server's name."""


class Action(Answer):
    """Something under way or done: `status` is queued, running, completed, failed or cancelled.

    `progress` is in percent of its steps; `error` says why it failed or was cancelled.
    """

    id: int
    """The action's id."""

    uuid: str
    """The action's UUID."""

    kind: str
    """What is done: the thing's kind, and the verb."""

    subject: Subject
    """What it is done to."""

    status: str
    """`queued`, `running`, `completed`, `failed` or `cancelled`."""

    progress: int
    """How far it is, in percent of its steps."""

    queue_position: int | None
    """Of a server that is to be made: how many turns are left until its own, 1 is the next. Null: it waits for none."""

    error: str | None
    """Why it failed or was cancelled; null where it wasn't."""

    created_at: str
    """When it was asked for, UTC."""

    started_at: str | None
    """When work on it began, UTC; null before."""

    finished_at: str | None
    """When it ended, UTC; null before."""


class Backup(Answer):
    """A server's disk in the store; it stays when the server is deleted."""

    id: int
    """The backup's id."""

    uuid: str | None = None
    """The backup's UUID."""

    server: BackupServerPart
    """The server that it is of."""

    backup_type: str
    """`manual` or `automatic`."""

    status: str
    """`in_progress`, `completed`, or `failed`: then there is nothing."""

    size_mb: float | None
    """The files' size, in MB; null before it is known."""

    error: str | None = None
    """Why it failed, or has to be tried again; null where it didn't."""

    verified_at: str | None = None
    """When it was last proved that it can be restored, UTC; null: not yet."""

    verify_error: str | None = None
    """Why that failed when it was last tried; null where it didn't."""

    created_at: str
    """When it was asked for, UTC."""

    expires_at: str | None
    """When it is deleted by itself, UTC; null: never."""

    description: str
    """What it is for."""


class Server(Answer):
    """One server, with what it uses."""

    id: int
    """The server's id."""

    uuid: str | None = None
    """The server's UUID; either names it in a path."""

    name: str
    """The server's name."""

    hostname: str
    """The host name that it was given."""

    status: str
    """`active`, `stopped`, `suspended` or `error`; on its way: `provisioning`, `starting`, `stopping`, `rebooting`, `resizing`, `restoring`, `rebuilding` or `deleting`."""

    unreachable: bool | None = None
    """Whether its host doesn't answer us now: then what is shown is what was last known."""

    error: str | None = None
    """Why the last thing asked for failed; null where nothing did."""

    ip_address: str | None
    """The first IPv4 address; null until there is one."""

    ipv4_addresses: list[str] | None = None
    """All IPv4 addresses."""

    ipv6_addresses: list[str] | None = None
    """All IPv6 addresses."""

    location: str
    """The location's code."""

    location_name: str | None = None
    """The location's name."""

    plan_name: str | None = None
    """The plan's name."""

    os: SystemPart
    """The operating system."""

    os_name: str | None = None
    """The operating system's name."""

    deployed: bool | None = None
    """Whether it has been ready for its first login."""

    tags: list[str] | None = None
    """Labels of your own."""

    created_at: str
    """When it was made, UTC."""

    updated_at: str
    """When it last changed, UTC."""

    plan: PlanDetail
    """What the server was promised."""

    ipv6_address: str | None
    """The first IPv6 address; null where there is none."""

    backups_enabled: bool
    """Whether it is backed up every day."""

    resource_usage: ResourceUse
    """What was measured last."""


class OperatingSystem(Answer):
    """An operating system, with its versions."""

    uuid: str
    """The operating system's UUID."""

    name: str
    """The operating system's name."""

    versions: list[SystemVersion]
    """Its versions."""


class Invoice(Answer):
    """A month's invoice."""

    id: str
    """The month, UTC; it names the invoice."""

    currency: str
    """The currency, ISO 4217."""

    total: str
    """The sum, rounded once."""

    final: bool
    """Whether the month is over and all of it is charged."""

    customer: str
    """Whom it is for."""

    email: str
    """The account's e-mail address."""

    lines: list[InvoiceLine]
    """What it is made of."""


class ActionList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[Action]
    """What is on this page."""


class BackupList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[Backup]
    """What is on this page."""


class OperatingSystemList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[OperatingSystem]
    """What is on this page."""


class LocationList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[Location]
    """What is on this page."""


class NoticeList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[Notice]
    """What is on this page."""


class PlanList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[Plan]
    """What is on this page."""


class ReportList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[Report]
    """What is on this page."""


class SoldPlanList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[SoldPlan]
    """What is on this page."""


class TokenList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[Token]
    """What is on this page."""


class WebhookList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[Webhook]
    """What is on this page."""


class Me(Answer):
    """The account and the token in use."""

    account: AccountInUse
    """Who pays."""

    token: TokenInUse


class Metrics(Answer):
    """One measure over time."""

    metric: str
    """What is shown: cpu, memory, disk, received or sent."""

    unit: str
    """percent (of all vCPUs) or bytes."""

    start: str
    """When the first step begins."""

    end: str
    """When it ends."""

    step: int
    """Seconds from value to value."""

    values: list[MetricValue]
    """Oldest first; a step without a measurement is left out."""


class Password(Answer):
    """The root password, shown in this answer only."""

    status: str
    """`success`: the server is on its way."""

    message: str
    """What happens now."""

    server: PoweredServer
    """The server that it happens to."""

    action_id: int
    """The action to follow, at `/actions/{action_id}/`."""

    password: str | None
    """The new root password, shown in this answer only."""

    not_repeated: dict[str, str] | None = None
    """Only in the answer to a repeated Idempotency-Key: what is null here, and why."""


class Power(Answer):
    """What the power endpoints answer at once; the server gets there by itself."""

    status: str
    """`success`: the server is on its way."""

    message: str
    """What happens now."""

    server: PoweredServer
    """The server that it happens to."""

    action_id: int | None = None
    """The action to follow, at `/actions/{action_id}/`."""


class Preview(Answer):
    """What `POST /servers/?dry_run=true` answers; nothing was made."""

    dry_run: bool
    """Always true: nothing was made."""

    possible: bool
    """Whether the create would succeed now."""

    price: Price | None
    """What the server would cost; null where that can't be said."""

    refusals: list[Refusal]
    """Everything for which the create would be refused."""


class ReportDetail(Answer):
    """A look at whether engine and database agree, with what it found."""

    id: int
    """The report's number; later ones are higher."""

    uuid: str
    """The report's UUID."""

    status: str
    """`queued`, `running` or `completed`."""

    asked_by: str
    """Who wanted it; `night`: nobody in particular."""

    repair: bool
    """Whether what could be mended was."""

    found: int | None
    """How many findings there are, after any repair; null before."""

    repaired: int | None
    """How many were mended; null before."""

    unseen: int | None
    """How many cells couldn't be looked at; null before."""

    created_at: str
    """When it was asked for, UTC."""

    finished_at: str | None
    """When it was done, UTC; null before."""

    findings: list[Finding]
    """What is left; empty before it is done."""

    mended: list[Finding]
    """What was mended."""

    cells_unseen: list[Unseen]
    """Cells that couldn't be looked at."""


class Restoring(Answer):
    """What a restore answers at once; the server gets there by itself."""

    status: str
    """`success`: the server is on its way."""

    message: str
    """What happens now."""

    snapshot: SnapshotPart
    """The snapshot that it is restored from."""

    server: RestoredServer
    """The server that it happens to."""

    action_id: int | None = None
    """The action to follow, at `/actions/{action_id}/`."""


class ServerCost(Answer):
    """What a server costs this month."""

    server_id: int
    """The server's id."""

    server_name: str
    """The server's name when it was made."""

    deleted: bool
    """Whether it is deleted."""

    hours: int
    """Hours of this month that it has begun."""

    traffic: Traffic
    """Its traffic."""

    cost: str
    """What hours and traffic cost."""

    forecast: str
    """What the whole month costs if it stays as it is."""


class Snapshot(Answer):
    """A server's disk as it was; it is deleted with its server."""

    id: int
    """The snapshot's id."""

    uuid: str | None = None
    """The snapshot's UUID."""

    server: SnapshotServerPart
    """The server that it is of."""

    name: str
    """Its name."""

    status: str
    """`in_progress`, `completed`, or `failed`: then there is nothing."""

    size_mb: float | None
    """What it alone took on the disk when it was made, in MB: little, and more as the server changes. Null before it is there, and where it isn't known."""

    error: str | None = None
    """Why it failed; null where it didn't."""

    created_at: str
    """When it was asked for, UTC."""

    description: str
    """What it is for."""


class ServerSummary(Answer):
    """A server in a list; times are UTC, and `location` is the location's code."""

    id: int
    """The server's id."""

    uuid: str | None = None
    """The server's UUID; either names it in a path."""

    name: str
    """The server's name."""

    hostname: str
    """The host name that it was given."""

    status: str
    """`active`, `stopped`, `suspended` or `error`; on its way: `provisioning`, `starting`, `stopping`, `rebooting`, `resizing`, `restoring`, `rebuilding` or `deleting`."""

    unreachable: bool | None = None
    """Whether its host doesn't answer us now: then what is shown is what was last known."""

    error: str | None = None
    """Why the last thing asked for failed; null where nothing did."""

    ip_address: str | None
    """The first IPv4 address; null until there is one."""

    ipv4_addresses: list[str] | None = None
    """All IPv4 addresses."""

    ipv6_addresses: list[str] | None = None
    """All IPv6 addresses."""

    location: str
    """The location's code."""

    location_name: str | None = None
    """The location's name."""

    plan_name: str | None = None
    """The plan's name."""

    os: SystemPart
    """The operating system."""

    os_name: str | None = None
    """The operating system's name."""

    deployed: bool | None = None
    """Whether it has been ready for its first login."""

    tags: list[str] | None = None
    """Labels of your own."""

    created_at: str
    """When it was made, UTC."""

    updated_at: str
    """When it last changed, UTC."""

    plan: PlanPart
    """What the server was promised."""


class Usage(Answer):
    """What an account's servers cost this month."""

    month: str
    """The month, UTC."""

    currency: str
    """The currency, ISO 4217."""

    cost: str
    """What this month cost so far."""

    forecast: str
    """What the whole month costs if all stays as it is."""

    servers: list[ServerCost]
    """The same by server; deleted ones of this month too."""


class Verifying(Answer):
    """A backup that is being proved."""

    id: int
    """The backup's id."""

    uuid: str
    """The backup's UUID."""

    server: BackupServerPart
    """The server that it is of."""

    backup_type: str
    """`manual` or `automatic`."""

    status: str
    """`in_progress`, `completed`, or `failed`: then there is nothing."""

    size_mb: float | None
    """The files' size, in MB; null before it is known."""

    error: str | None
    """Why it failed, or has to be tried again; null where it didn't."""

    verified_at: str | None
    """When it was last proved that it can be restored, UTC; null: not yet."""

    verify_error: str | None
    """Why that failed when it was last tried; null where it didn't."""

    created_at: str
    """When it was asked for, UTC."""

    expires_at: str | None
    """When it is deleted by itself, UTC; null: never."""

    description: str
    """What it is for."""

    message: str
    """What happens now."""

    action_id: int
    """The action to follow, at `/actions/{action_id}/`."""


class CreatedBackup(Answer):
    """A backup just asked for."""

    id: int
    """The backup's id."""

    uuid: str | None = None
    """The backup's UUID."""

    server: BackupServerPart
    """The server that it is of."""

    backup_type: str
    """`manual` or `automatic`."""

    status: str
    """`in_progress`, `completed`, or `failed`: then there is nothing."""

    size_mb: float | None
    """The files' size, in MB; null before it is known."""

    error: str | None = None
    """Why it failed, or has to be tried again; null where it didn't."""

    verified_at: str | None = None
    """When it was last proved that it can be restored, UTC; null: not yet."""

    verify_error: str | None = None
    """Why that failed when it was last tried; null where it didn't."""

    created_at: str
    """When it was asked for, UTC."""

    expires_at: str | None
    """When it is deleted by itself, UTC; null: never."""

    description: str
    """What it is for."""

    message: str | None = None
    """What happens now."""

    action_id: int | None = None
    """The action to follow, at `/actions/{action_id}/`."""


class CreatedSnapshot(Answer):
    """A snapshot just asked for."""

    id: int
    """The snapshot's id."""

    uuid: str | None = None
    """The snapshot's UUID."""

    server: SnapshotServerPart
    """The server that it is of."""

    name: str
    """Its name."""

    status: str
    """`in_progress`, `completed`, or `failed`: then there is nothing."""

    size_mb: float | None
    """What it alone took on the disk when it was made, in MB: little, and more as the server changes. Null before it is there, and where it isn't known."""

    error: str | None = None
    """Why it failed; null where it didn't."""

    created_at: str
    """When it was asked for, UTC."""

    description: str
    """What it is for."""

    message: str
    """What happens now."""

    action_id: int | None = None
    """The action to follow, at `/actions/{action_id}/`."""


class SnapshotList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None
    """Address of the next page, if there is one."""

    previous: str | None
    """Address of the page before, if there is one."""

    results: list[Snapshot]
    """What is on this page."""


class ServerSummaryList(Answer):
    """A page of a list."""

    count: int
    """How many there are in all."""

    next: str | None = None
    """Address of the next page, if there is one."""

    previous: str | None = None
    """Address of the page before, if there is one."""

    results: list[ServerSummary]
    """What is on this page."""
