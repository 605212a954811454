"""The `openvps` command: each subcommand is a thin function that imports its room when it is called.

A command answers in less than half a second because nothing heavy is imported to print a help text.
"""

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

Output = Annotated[Literal["text", "json"], Parameter(alias="-o", help="json for programs")]
System = Annotated[str, Parameter(help="the system, as `openvps image list` names it")]
Fingerprint = Annotated[str, Parameter(help="the image, as `openvps image list` names it")]
Purge = Annotated[
    bool,
    Parameter(
        negative="",
        help="then remove everything: servers, images, storage pool, network rules, database, the data folder",
    ),
]
Account = Annotated[str, Parameter(help="the account: its number, UUID or e-mail")]
Email = Annotated[str, Parameter(help="the e-mail to sign in with")]
FirstName = Annotated[str, Parameter(help="the person's first name")]
LastName = Annotated[str, Parameter(help="the person's last name")]
CompanyName = Annotated[str, Parameter(help="the company's name")]
Credit = Annotated[int, Parameter(help="credit to begin with, in whole currency units")]
Amount = Annotated[
    str, Parameter(allow_leading_hyphen=True, help="how much, in the currency, like 25 or 0.50; -3 only to adjust")
]
Adjustment = Annotated[bool, Parameter(negative="", help="it corrects the books, and is no payment")]
PaymentReference = Annotated[
    str | None, Parameter(help="what the payment is known by; the same again changes nothing")
]
Plan = Annotated[str, Parameter(help="the plan: its number or slug, as `openvps plan list` names it")]
Slug = Annotated[str, Parameter(help="a short name for commands and addresses, like large-vps")]
PlanName = Annotated[str, Parameter(help="the name that customers see")]
NewName = Annotated[str | None, Parameter(help="the name that customers see")]
Kind = Annotated[Literal["container", "vm"], Parameter(help="what its servers are")]
Vcpus = Annotated[int, Parameter(help="vCPUs of a server")]
MemoryMib = Annotated[int, Parameter(help="memory of a server, in MiB")]
StorageGb = Annotated[int, Parameter(help="disk of a server, in GB")]
BandwidthGb = Annotated[int, Parameter(help="traffic included, in GB a month")]
Price = Annotated[str, Parameter(help="price of a month, in the currency, like 10 or 7.50")]
NewPrice = Annotated[str | None, Parameter(help="price of a month, in the currency, like 10 or 7.50")]
Description = Annotated[str, Parameter(help="what it is for")]
NewDescription = Annotated[str | None, Parameter(help="what it is for")]
ApplyToExisting = Annotated[
    bool, Parameter(negative="", help="give its servers its price, from the next hour of each on")
]
Operator = Annotated[bool, Parameter(negative="", help="let it administer all accounts, and have container plans")]
MaxServers = Annotated[int | None, Parameter(help="servers it may have; -1: the installation's setting")]
MaxVcpus = Annotated[int | None, Parameter(help="vCPUs of its servers together; -1: the installation's setting")]
CreatesAnHour = Annotated[
    int | None, Parameter(help="servers it may create in any 60 minutes; -1: the installation's setting")
]
Reason = Annotated[str, Parameter(help="why, for operators and the audit log")]
Token = Annotated[int, Parameter(help="the token's number, as `openvps token list` names it")]
TokenName = Annotated[str, Parameter(help="a name to know it by later")]
Permissions = Annotated[
    tuple[str, ...],
    Parameter(negative="", help="servers:read, ssh_keys:* and so on, repeated; none: all of the account's"),
]
Days = Annotated[int | None, Parameter(help="days until it ends; not given: it doesn't")]
Cell = Annotated[str, Parameter(help="the cell's name, as `openvps cell list` shows it")]
CellName = Annotated[str, Parameter(help="a name for the cell")]
Members = Annotated[
    str, Parameter(help="https://HOST[:8443] of its daemon, or of several members of a cluster, separated by commas")
]
TrustToken = Annotated[
    str, Parameter(help="what `incus config trust add NAME` or `openvps host prepare` printed there")
]
NewTrustToken = Annotated[str | None, Parameter(help="a new one, where the cell shows another certificate now")]
LocationCode = Annotated[str, Parameter(help="code of its location")]
LocationName = Annotated[str | None, Parameter(help="of a location that isn't there yet: its name")]
CountryName = Annotated[str | None, Parameter(help="its country")]
CountryCode = Annotated[str | None, Parameter(help="its country, ISO 3166-1")]
Networks = Annotated[str, Parameter(help="the blocks for its servers, IPv4 and perhaps IPv6, separated by commas")]
Resolvers = Annotated[str, Parameter(help="addresses of the resolvers for its servers, separated by commas")]
Project = Annotated[str | None, Parameter(help="the Incus project; not given: OPENVPS_PROJECT")]
Pool = Annotated[str | None, Parameter(help="the storage pool; not given: named as the project")]
NicPrefix = Annotated[
    str | None, Parameter(help="what its servers' interfaces are named; not given: OPENVPS_NIC_PREFIX")
]
NicParent = Annotated[
    str | None, Parameter(help="routed mode: the uplink on which its hosts answer for the addresses")
]
Address = Annotated[str, Parameter(help="HOST[:8443] at which the worker's machine reaches this one")]
DumpFile = Annotated[Path, Parameter(help="one of DATA_DIR/dumps, newest last by name")]
Yes = Annotated[bool, Parameter(negative="", help="don't ask before removing")]

app = App(
    name="openvps",
    help="Turn this Linux machine into a VPS cloud that speaks the VPS.org API. Begin with `openvps up`.",
    version=lambda: version("openvps"),
    help_format="plaintext",
)
image = App(name="image", help="Build, list and retire the system images that new servers start from.")
app.command(image)
account = App(name="account", help="Make, list, change, disable and delete customers' accounts.")
app.command(account)
plan = App(name="plan", help="List, add, change and retire the plans that servers are sold by.")
app.command(plan)
token = App(name="token", help="Make, list and revoke API tokens of any account.")
app.command(token)

cell = App(name="cell", help="Add, list, change and remove cells on other machines.")
app.command(cell)

host = App(name="host", help="Prepare a host of another cell, whose worker runs elsewhere.")
app.command(host)
database = App(name="database", help="Put the database back to what it was before an upgrade.")
app.command(database)


@app.command
def up() -> int:
    """Prepare this machine and run OpenVPS in the foreground, as root.

    The first time it makes everything: database, engine, storage pool, network, the Debian image, an account with a
    token. Later it takes everything up as it was. Ctrl-C ends it; servers keep running (`openvps down` stops them).
    """
    from openvps.ops import up as room

    return room.main()


@app.command
def down(*, purge: Purge = False, yes: Yes = False) -> int:
    """Stop OpenVPS on this machine: a running `up`, all servers, and the engine where it is our own.

    The next `openvps up` starts again the servers that ran.
    """
    from openvps.ops import down as room

    return room.main(purge=purge, yes=yes)


@app.command
def api() -> int:
    """Serve the API; `openvps up` runs this as the user openvps-api."""
    from openvps.ops import serve

    return serve.main()


@app.command
def worker() -> int:
    """Make machines what the database wants; `openvps up` runs this as the user openvps-worker."""
    from openvps import worker as room

    return room.main()


@app.command
def doctor(*, output: Output = "text") -> int:
    """Say what this machine can do, and what to do about what it can't."""
    from openvps.ops import doctor as room

    return room.main(output)


@image.command
def build(system: System) -> int:
    """Build an image of a system (for example debian-12) from its distribution's packages; new servers use it."""
    from openvps.ops import images

    return images.build(system)


@image.command(name="list")
def list_(*, output: Output = "text") -> int:
    """List systems and their images."""
    from openvps.ops import images

    return images.list_(output)


@image.command
def retire(fingerprint: Fingerprint) -> int:
    """Take an image out of use; servers made from it keep theirs."""
    from openvps.ops import images

    return images.retire(fingerprint)


@account.command(name="create")
def create_account(
    email: Email,
    *,
    first_name: FirstName = "",
    last_name: LastName = "",
    company_name: CompanyName = "",
    credit: Credit = 0,
    max_servers: MaxServers = None,
    max_vcpus: MaxVcpus = None,
    creates_an_hour: CreatesAnHour = None,
    operator: Operator = False,
    output: Output = "text",
) -> int:
    """Make an account and print an invite for its owner, who sets a password with it."""
    from openvps.ops import accounts

    return accounts.create(
        email,
        first_name=first_name,
        last_name=last_name,
        company_name=company_name,
        credit=credit,
        quotas=accounts.Quotas(max_servers, max_vcpus, creates_an_hour),
        operator=operator,
        output=output,
    )


@account.command(name="list")
def list_accounts(*, output: Output = "text") -> int:
    """List all accounts."""
    from openvps.ops import accounts

    return accounts.list_(output)


@account.command(name="show")
def show_account(account: Account, *, output: Output = "text") -> int:
    """Show an account with its balance, servers and quotas."""
    from openvps.ops import accounts

    return accounts.show(account, output)


@account.command(name="invite")
def invite_account(account: Account, *, output: Output = "text") -> int:
    """Print a new invite, for who lost theirs or the password; an older one ends."""
    from openvps.ops import accounts

    return accounts.invite(account, output)


@account.command(name="disable")
def disable_account(account: Account, *, reason: Reason = "", output: Output = "text") -> int:
    """Shut an account: its tokens open nothing, nobody signs in. Its servers stay as they are."""
    from openvps.ops import accounts

    return accounts.disable(account, reason, output)


@account.command(name="enable")
def enable_account(account: Account, *, output: Output = "text") -> int:
    """Open a disabled account again."""
    from openvps.ops import accounts

    return accounts.enable(account, output)


@account.command(name="credit")
def credit_account(
    account: Account,
    amount: Amount,
    *,
    adjustment: Adjustment = False,
    reason: Reason = "",
    reference: PaymentReference = None,
    output: Output = "text",
) -> int:
    """Add a payment to an account's credit, or with --adjustment and a reason correct it, also downwards."""
    from openvps.ops import accounts

    return accounts.credit(account, amount, adjustment=adjustment, reason=reason, reference=reference, output=output)


@account.command(name="suspend")
def suspend_account(account: Account, *, reason: Reason = "", output: Output = "text") -> int:
    """Turn off an account's servers and keep them so, whatever its credit; the customer is told the reason."""
    from openvps.ops import accounts

    return accounts.suspend(account, reason, output)


@account.command(name="unsuspend")
def unsuspend_account(account: Account, *, output: Output = "text") -> int:
    """End a suspension by an operator: the servers start as before, if there is credit."""
    from openvps.ops import accounts

    return accounts.unsuspend(account, output)


@account.command
def set_quota(
    account: Account,
    *,
    max_servers: MaxServers = None,
    max_vcpus: MaxVcpus = None,
    creates_an_hour: CreatesAnHour = None,
    output: Output = "text",
) -> int:
    """Change an account's quotas; those not named stay."""
    from openvps.ops import accounts

    return accounts.set_quota(account, accounts.Quotas(max_servers, max_vcpus, creates_an_hour), output)


@account.command(name="delete")
def delete_account(account: Account) -> int:
    """Delete an account that has no servers, with its tokens, keys and personal data; its ledger stays."""
    from openvps.ops import accounts

    return accounts.delete(account)


@plan.command(name="list")
def list_plans(*, output: Output = "text") -> int:
    """List all plans with their prices, retired ones too."""
    from openvps.ops import plans

    return plans.list_(output)


@plan.command(name="add")
def add_plan(
    slug: Slug,
    *,
    name: PlanName,
    vcpus: Vcpus,
    memory_mib: MemoryMib,
    storage_gb: StorageGb,
    bandwidth_gb: BandwidthGb,
    price: Price,
    kind: Kind = "container",
    description: Description = "",
    output: Output = "text",
) -> int:
    """Offer a new plan."""
    from openvps.ops import plans

    return plans.add(
        slug,
        output,
        name=name,
        kind=kind,
        vcpus=vcpus,
        memory_mib=memory_mib,
        storage_gb=storage_gb,
        bandwidth_gb=bandwidth_gb,
        price=price,
        description=description,
    )


@plan.command(name="edit")
def edit_plan(
    plan: Plan,
    *,
    name: NewName = None,
    price: NewPrice = None,
    description: NewDescription = None,
    apply_to_existing: ApplyToExisting = False,
    output: Output = "text",
) -> int:
    """Change a plan's name, price or description for new servers; those there are keep their price."""
    from openvps.ops import plans

    return plans.edit(
        plan, output, name=name, price=price, description=description, apply_to_existing=apply_to_existing
    )


@plan.command(name="retire")
def retire_plan(plan: Plan, *, output: Output = "text") -> int:
    """Take a plan out of the offer; servers that have it keep it and its price."""
    from openvps.ops import plans

    return plans.retire(plan, output)


@token.command(name="create")
def create_token(
    account: Account,
    *,
    name: TokenName = "made on the host",
    permission: Permissions = (),
    days: Days = None,
    output: Output = "text",
) -> int:
    """Make a token and print it, this once."""
    from openvps.ops import tokens

    return tokens.create(account, name=name, permissions=permission, days=days, output=output)


@token.command(name="list")
def list_tokens(account: Account, *, output: Output = "text") -> int:
    """List an account's tokens, without their texts."""
    from openvps.ops import tokens

    return tokens.list_(account, output)


@token.command(name="revoke")
def revoke_token(token: Token) -> int:
    """Revoke a token; it opens nothing any more."""
    from openvps.ops import tokens

    return tokens.revoke(token)


@cell.command(name="add")
def add_cell(
    members: Members,
    *,
    trust_token: TrustToken,
    name: CellName,
    location: LocationCode,
    network: Networks,
    nameservers: Resolvers = "",
    project: Project = None,
    pool: Pool = None,
    nic_prefix: NicPrefix = None,
    nic_parent: NicParent = None,
    location_name: LocationName = None,
    country: CountryName = None,
    country_code: CountryCode = None,
) -> int:
    """Trust a daemon or cluster on other machines, and have servers made there too; as root."""
    from openvps.ops import cells

    wanted = cells.Wanted(
        members=members,
        trust_token=trust_token,
        networks=network,
        nameservers=nameservers,
        project=project,
        pool=pool,
        nic_prefix=nic_prefix,
        nic_parent=nic_parent,
    )
    return cells.add(name, wanted, cells.Place(location, location_name, country, country_code))


@cell.command(name="list")
def list_cells(*, output: Output = "text") -> int:
    """List all cells."""
    from openvps.ops import cells

    return cells.list_(output)


@cell.command(name="show")
def show_cell(cell: Cell, *, output: Output = "text") -> int:
    """Show a cell: how it is reached, its room, and since when it doesn't answer."""
    from openvps.ops import cells

    return cells.show(cell, output)


@cell.command(name="edit")
def edit_cell(
    cell: Cell,
    *,
    members: Members = "",
    trust_token: NewTrustToken = None,
    nameservers: Resolvers = "",
    pool: Pool = None,
) -> int:
    """Change how a cell is reached, and look at its room and images again; what isn't named stays."""
    from openvps.ops import cells

    wanted = cells.Wanted(members=members, trust_token=trust_token, nameservers=nameservers, pool=pool)
    return cells.edit(cell, wanted)


@cell.command(name="remove")
def remove_cell(cell: Cell) -> int:
    """Forget a cell that has no servers; what is on its hosts stays."""
    from openvps.ops import cells

    return cells.remove(cell)


@host.command
def prepare(address: Address, *, name: CellName) -> int:
    """Make this machine ready for servers, as `up` does, and print the command that adds it as a cell; as root.

    The settings are those of `up`: network mode, pools, storage. Nothing stays running but the engine.
    """
    from openvps.ops import host

    return host.main(address, name)


@database.command
def restore(file: DumpFile) -> int:
    """Replace the database by a dump that `openvps up` made before it changed the tables; nothing else may run."""
    from openvps.ops import dump

    return dump.restore(file)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; a bad setting is 2 and one line each."""
    os.umask(0o022)
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["up"] and {"--help", "-h"} & set(arguments):
        from openvps.ops import reference

        app["up"].help_epilogue = reference.text()
    try:
        return app(arguments, result_action="return_value") or 0
    except ConnectionError as error:
        print(f"openvps: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        lines = bad_settings(error)
        if not lines:
            raise
        for line in lines:
            print(f"openvps: {line}", file=sys.stderr)
        return 2


def bad_settings(error: ValueError) -> list[str]:
    """Return a line for each bad setting that `error` names; none if it is about something else.

    Values are left out: one may be a password.
    """
    from pydantic import ValidationError

    if not isinstance(error, ValidationError) or error.title != "Settings":
        return []
    return [
        (f"OPENVPS_{str(one['loc'][0]).upper()}: " if one["loc"] else "") + one["msg"].removeprefix("Value error, ")
        for one in error.errors(include_input=False, include_url=False)
    ]
