"""`openvps token`: API tokens of any account."""

from typing import Annotated

from cyclopts import App, Parameter

from openvps.ops.commands.arguments import Account, Output

Token = Annotated[int, Parameter(help="the token's number, as `openvps token list` names it")]
TokenName = Annotated[str, Parameter(help="a name to know it by later")]
Permissions = Annotated[
    tuple[str, ...],
    Parameter(negative="", help="servers:read, ssh_keys:* and so on, repeated; none: all of the account's"),
]
Days = Annotated[int | None, Parameter(help="days until it ends; not given: it doesn't")]

app = App(name="token")


@app.command(name="create")
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


@app.command(name="list")
def list_tokens(account: Account, *, output: Output = "text") -> int:
    """List an account's tokens, without their texts."""
    from openvps.ops import tokens

    return tokens.list_(account, output)


@app.command(name="revoke")
def revoke_token(token: Token) -> int:
    """Revoke a token; it opens nothing any more."""
    from openvps.ops import tokens

    return tokens.revoke(token)
