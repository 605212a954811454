"""Arguments that commands of several topics have."""

from typing import Annotated, Literal

from cyclopts import Parameter

Output = Annotated[Literal["text", "json"], Parameter(alias="-o", help="json for programs")]
Account = Annotated[str, Parameter(help="the account: its number, UUID or e-mail")]
CellName = Annotated[str, Parameter(help="a name for the cell")]
