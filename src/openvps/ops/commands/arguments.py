"""Arguments that commands of several topics have."""

from typing import Annotated, Literal

from cyclopts import Group, Parameter

HOST = Group("On the host, as root", sort_key=2)  # what an operator does, beside what customers do over the API

Output = Annotated[Literal["text", "json"], Parameter(alias="-o", help="json for programs")]
Account = Annotated[str, Parameter(help="the account: its number, UUID or e-mail")]
CellName = Annotated[str, Parameter(help="a name for the cell")]
AnyAccount = Annotated[
    str | None,
    Parameter(
        help="on the host, as root: any account, by its number, UUID or e-mail; not given: your own, over the API"
    ),
]
