"""`openvps account`: one's own over the API; customers' accounts by root on the host."""

from typing import Annotated

from cyclopts import App, Parameter

from openvps.cli import account as customer
from openvps.cli.arguments import Output as Form
from openvps.ops.commands.arguments import HOST, Account, AnyAccount, Output

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
Operator = Annotated[bool, Parameter(negative="", help="let it administer all accounts, and have container plans")]
MaxServers = Annotated[int | None, Parameter(help="servers it may have; -1: the installation's setting")]
MaxVcpus = Annotated[int | None, Parameter(help="vCPUs of its servers together; -1: the installation's setting")]
CreatesAnHour = Annotated[
    int | None, Parameter(help="servers it may create in any 60 minutes; -1: the installation's setting")
]
Reason = Annotated[str, Parameter(help="why, for operators and the audit log")]

app = App(name="account")


@app.command(group=HOST, name="create")
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


@app.command(group=HOST, name="list")
def list_accounts(*, output: Output = "text") -> int:
    """List all accounts."""
    from openvps.ops import accounts

    return accounts.list_(output)


@app.command(name="show")
def show_account(account: AnyAccount = None, *, output: Form = "table") -> int | None:
    """Show an account: who, and its balance."""
    if account is None:
        return customer.show(output)
    from openvps.ops import accounts

    return accounts.show(account, "json" if output == "json" else "text")


for command in (customer.usage, customer.ledger, customer.invoices, customer.notices, customer.audit):
    app.command(command)


@app.command(group=HOST, name="invite")
def invite_account(account: Account, *, output: Output = "text") -> int:
    """Print a new invite, for who lost theirs or the password; an older one ends."""
    from openvps.ops import accounts

    return accounts.invite(account, output)


@app.command(group=HOST, name="disable")
def disable_account(account: Account, *, reason: Reason = "", output: Output = "text") -> int:
    """Shut an account: its tokens open nothing, nobody signs in. Its servers stay as they are."""
    from openvps.ops import accounts

    return accounts.disable(account, reason, output)


@app.command(group=HOST, name="enable")
def enable_account(account: Account, *, output: Output = "text") -> int:
    """Open a disabled account again."""
    from openvps.ops import accounts

    return accounts.enable(account, output)


@app.command(group=HOST)
def reset_second_factor(account: Account, *, output: Output = "text") -> int:
    """Have a password be enough to sign in, for who lost the authenticator app and the recovery codes."""
    from openvps.ops import accounts

    return accounts.reset_second_factor(account, output)


@app.command(group=HOST, name="credit")
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


@app.command(group=HOST, name="suspend")
def suspend_account(account: Account, *, reason: Reason = "", output: Output = "text") -> int:
    """Turn off an account's servers and keep them so, whatever its credit; the customer is told the reason."""
    from openvps.ops import accounts

    return accounts.suspend(account, reason, output)


@app.command(group=HOST, name="unsuspend")
def unsuspend_account(account: Account, *, output: Output = "text") -> int:
    """End a suspension by an operator: the servers start as before, if there is credit."""
    from openvps.ops import accounts

    return accounts.unsuspend(account, output)


@app.command(group=HOST)
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


@app.command(group=HOST, name="delete")
def delete_account(account: Account) -> int:
    """Delete an account that has no servers, with its tokens, keys and personal data; its ledger stays."""
    from openvps.ops import accounts

    return accounts.delete(account)
