"""`openvps token`: one's own tokens over the API; with an account named, anybody's, by root on the host."""

import socket
from typing import Annotated, Literal

from cyclopts import App, Parameter

from openvps.cli import account as customer
from openvps.cli import names
from openvps.cli.arguments import Columns
from openvps.cli.arguments import Output as Form
from openvps.ops.commands.arguments import AnyAccount

Token = Annotated[int, Parameter(help="the token's number, as `openvps token list` names it", completer=names.tokens)]
TokenName = Annotated[str, Parameter(help="a name to know it by later")]
Permissions = Annotated[
    tuple[str, ...],
    Parameter(
        negative="",
        help="servers:read, ssh_keys:* and so on, repeated; none: those of the token in use, or all that ACCOUNT may",
    ),
]
Days = Annotated[int | None, Parameter(help="days until it ends; not given: it doesn't")]

app = App(name="token")


@app.command(name="create")
def create_token(
    account: AnyAccount = None,
    *,
    name: TokenName = "",
    permission: Permissions = (),
    days: Days = None,
    output: Form = "table",
) -> int | None:
    """Make a token and print it, this once."""
    if account is None:
        return customer.create_token(name or f"made on {socket.gethostname()}", permission, days, output)
    from openvps.ops import tokens

    return tokens.create(
        account, name=name or "made on the host", permissions=permission, days=days, output=_plain(output)
    )


@app.command(name="list")
def list_tokens(account: AnyAccount = None, *, columns: Columns = "", output: Form = "table") -> int | None:
    """List tokens, newest first, without their texts."""
    if account is None:
        return customer.list_tokens(columns, output)
    from openvps.ops import tokens

    return tokens.list_(account, _plain(output))


@app.command(name="revoke")
def revoke_token(token: Token, account: AnyAccount = None) -> int | None:
    """Revoke a token; it opens nothing any more."""
    if account is None:
        return customer.revoke_token(token)
    from openvps.ops import tokens

    return tokens.revoke(token, account)


def _plain(output: str) -> Literal["text", "json"]:
    """Return the form that commands on the host have."""
    return "json" if output == "json" else "text"
