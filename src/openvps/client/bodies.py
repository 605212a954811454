"""What the API takes. Written from the OpenAPI document by `python tests/test_docs.py`; edit nothing here."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict


class AcceptInvite(TypedDict):
    """What `POST /account/accept-invite/` takes."""

    invite: str
    """The invite as you were sent it; it works once, for 7 days."""

    password: str
    """12 to 256 characters of any kind."""


class AccountChange(TypedDict):
    """What `PATCH /admin/accounts/{id}/` takes; what isn't given stays."""

    email: NotRequired[str]
    """The e-mail address to sign in with; capitals don't matter."""

    first_name: NotRequired[str]
    """The person's first name."""

    last_name: NotRequired[str]
    """The person's last name."""

    company_name: NotRequired[str]
    """The company's name."""

    max_servers: NotRequired[int | None]
    """How many servers it may have; null: the installation's setting."""

    max_vcpus: NotRequired[int | None]
    """How many vCPUs its servers may have together; null: the installation's setting."""

    creates_an_hour: NotRequired[int | None]
    """How many servers it may create in any 60 minutes; null: the installation's setting."""


class CellChange(TypedDict):
    """What `PATCH /admin/cells/{id}/` takes."""

    creates_at_once: int | None
    """How many servers are made in it at once; null: the installation's setting."""


class ChangedWebhook(TypedDict):
    """What `PATCH /webhooks/{id}/` takes; what isn't given stays."""

    url: NotRequired[str]
    """Where events are sent: https:// and a name that the internet knows."""

    kinds: NotRequired[list[str]]
    """Which kinds of events are sent; none named: all of them."""

    description: NotRequired[str]
    """What it is for."""

    enabled: NotRequired[bool]
    """Whether events are sent; what happens meanwhile never is."""


class Ending(TypedDict):
    """What cancelling an action takes."""

    reason: NotRequired[str]
    """Why; its customer reads it on the action."""


class FirstCode(TypedDict):
    """What confirming a second factor takes."""

    code: str
    """What the app shows now: six digits."""


class FullUpdate(TypedDict):
    """What `PUT` takes: all three."""

    name: str
    """The server's name."""

    hostname: str
    """The host name; the server takes it at its next boot."""

    backups_enabled: bool
    """Whether it is backed up every day."""


class Labelled(TypedDict):
    """What `POST /servers/{id}/snapshot/` takes."""

    label: NotRequired[str | None]
    """What it is for; its name is made of it."""


class LastCode(TypedDict):
    """What giving up a second factor takes."""

    password: str
    """The account's password."""

    code: str
    """What the app shows now, or a recovery code."""


class NewAccount(TypedDict):
    """What `POST /admin/accounts/` takes."""

    email: str
    """The e-mail address to sign in with; capitals don't matter."""

    first_name: NotRequired[str]
    """The person's first name."""

    last_name: NotRequired[str]
    """The person's last name."""

    company_name: NotRequired[str]
    """The company's name."""

    password: NotRequired[str | None]
    """A first password; null or not given: the answer has an invite to hand on instead."""

    credit: NotRequired[int]
    """Credit to begin with, in whole currency units."""

    max_servers: NotRequired[int | None]
    """How many servers it may have; null: the installation's setting."""

    max_vcpus: NotRequired[int | None]
    """How many vCPUs its servers may have together; null: the installation's setting."""

    creates_an_hour: NotRequired[int | None]
    """How many servers it may create in any 60 minutes; null: the installation's setting."""


class NewBackup(TypedDict):
    """What `POST /backups/` takes."""

    server_id: int | str
    """The server."""

    description: NotRequired[str]
    """What it is for."""


class NewCredit(TypedDict):
    """What crediting an account takes."""

    amount: float | str
    """How much, in the installation's currency; less than 0 only for an adjustment."""

    adjustment: NotRequired[bool]
    """Whether it corrects the books, and is no payment."""

    reason: NotRequired[str]
    """Why; it stands in the ledger for the customer to see. An adjustment needs one."""

    reference: NotRequired[str | None]
    """What it is known by elsewhere, like a payment's number; the same again changes nothing."""


class NewKey(TypedDict):
    """What `POST /ssh-keys/` takes."""

    name: str
    """A name to know it by later."""

    public_key: str
    """The public key: one line, as in `~/.ssh/id_ed25519.pub`."""


class NewPlan(TypedDict):
    """What `POST /admin/plans/` takes."""

    slug: str
    """Its name in addresses and commands."""

    name: str
    """Its name."""

    kind: NotRequired[Literal["container", "vm"]]
    """`vm`, a machine of its own, or `container`, which shares the host's kernel."""

    vcpus: int
    """Virtual CPUs."""

    memory_mib: int
    """Memory, in MiB."""

    storage_gb: int
    """Disk, in GB."""

    bandwidth_gb: int
    """Traffic included, in GB a month."""

    price: float | str
    """Price of a month, in the installation's currency."""

    description: NotRequired[str]
    """What it is for."""


class NewReport(TypedDict):
    """What `POST /admin/consistency-reports/` takes."""

    repair: NotRequired[bool]
    """Whether what can be mended without a person is mended."""


class NewSecondFactor(TypedDict):
    """What beginning a second factor takes: a token alone can't lock its owner out."""

    password: str
    """The account's password."""


class NewSecret(TypedDict):
    """What rotating a webhook's secret takes."""

    overlap_hours: NotRequired[int]
    """For how many hours the secret before signs as well; 0: it is known to others."""


class NewServer(TypedDict):
    """What `POST /servers/` takes. Of each pair of names for one thing, either will do.

    Which fields are needed is said by `order.py`, where the two dialects become one.
    """

    name: NotRequired[str | None]
    """Letters, digits and hyphens. Left out, it is the first label of `hostname`."""

    plan_id: NotRequired[int | str | None]
    """The plan; see GET /plans/."""

    os_id: NotRequired[int | str | None]
    """The operating system's version; see GET /operating-systems/."""

    location: str | int | None
    """The location's code or id; see GET /locations/."""

    backup_id: NotRequired[int | str | None]
    """A backup to make the server of, in place of `os_id`; see GET /backups/."""

    hostname: NotRequired[str | None]
    """The host name, one label or an FQDN. Left out, it is `name`."""

    ssh_key_id: NotRequired[int | str | None]
    """One of the account's SSH keys. None named: all of them are installed."""

    backups_enabled: NotRequired[bool]
    """Whether it is backed up every day."""

    plan: NotRequired[int | str | None]
    """Another name for `plan_id`."""

    os_version: NotRequired[int | str | None]
    """Another name for `os_id`."""

    ssh_keys: NotRequired[list[int | str] | None]
    """Several SSH keys of the account."""

    user_data: NotRequired[str | None]
    """cloud-init user data, run once at the first boot."""

    tags: NotRequired[list[str]]
    """Labels of your own, to find servers by."""


class NewSnapshot(TypedDict):
    """What `POST /snapshots/` takes."""

    server_id: int | str
    """The server."""

    name: str
    """A name to know it by: letters, digits, `-` and `_`."""

    description: NotRequired[str]
    """What it is for."""


class NewToken(TypedDict):
    """What `POST /tokens/` takes."""

    name: str
    """A name to know it by later."""

    permissions: list[str]
    """What it may do: `resource:action`, where `*` stands for every resource or every action. At most what the token of this request may do."""

    expires_at: NotRequired[str | None]
    """When it ends, ISO 8601 with a time zone; null or not given: never."""


class NewWebhook(TypedDict):
    """What `POST /webhooks/` takes."""

    url: str
    """Where events are sent: https:// and a name that the internet knows."""

    kinds: NotRequired[list[str]]
    """Which kinds of events are sent; none named: all of them."""

    description: NotRequired[str]
    """What it is for."""


class PartialUpdate(TypedDict):
    """What `PATCH` takes: any of them."""

    name: NotRequired[str | None]
    """The server's name."""

    hostname: NotRequired[str | None]
    """The host name; the server takes it at its next boot."""

    backups_enabled: NotRequired[bool | None]
    """Whether it is backed up every day."""

    tags: NotRequired[list[str] | None]
    """Labels of your own; they replace those that were there."""


class Pause(TypedDict):
    """What pausing takes."""

    reason: NotRequired[str]
    """Why; operators see it."""


class PlanChange(TypedDict):
    """What `PATCH /admin/plans/{id}/` takes; what isn't given stays. No size may change: servers were promised it."""

    name: NotRequired[str | None]
    """Its name."""

    price: NotRequired[float | str | None]
    """Price of a month, in the installation's currency."""

    description: NotRequired[str | None]
    """What it is for."""

    apply_to_existing: NotRequired[bool]
    """Whether servers that have it cost its price from their next hour on; else they keep theirs."""


class PowerAction(TypedDict):
    """What `POST /servers/{id}/power/` takes."""

    action: Literal["start", "stop", "restart", "hard_stop"]
    """`stop` and `restart` shut down cleanly; `hard_stop` cuts the power at once."""


class Reason(TypedDict):
    """What disabling takes."""

    reason: NotRequired[str]
    """Why; operators see it, and the audit log keeps it."""


class Rebuild(TypedDict):
    """What `POST /servers/{id}/rebuild/` takes: either name of the operating system."""

    os_id: NotRequired[int | str | None]
    """The operating system's version; see GET /operating-systems/."""

    os_version: NotRequired[int | str | None]
    """Another name for `os_id`."""


class Resize(TypedDict):
    """What `POST /servers/{id}/resize/` takes: either name of the plan."""

    plan: NotRequired[int | str | None]
    """The new plan; its disk can't be smaller."""

    plan_id: NotRequired[int | str | None]
    """Another name for `plan`."""


class SignIn(TypedDict):
    """What `POST /login/` takes."""

    email: str
    """The account's e-mail address."""

    password: str
    """The account's password."""

    code: NotRequired[str]
    """Where the account has a second factor: the code of its authenticator app, or a recovery code; each works once."""
