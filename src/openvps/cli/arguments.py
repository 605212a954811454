"""Arguments that customers' commands share."""

from typing import Annotated

from cyclopts import Parameter

from openvps.cli import names
from openvps.cli.output import Form

Output = Annotated[Form, Parameter(alias="-o", help="json and yaml for programs, name for scripts")]
Columns = Annotated[
    str, Parameter(help="columns of the table, separated by commas; any field will do, like plan.vcpus")
]
Watch = Annotated[bool, Parameter(negative="", help="show it again every 2 seconds, until Ctrl-C")]
NoWait = Annotated[bool, Parameter(negative="", help="don't wait until it is done")]
Timeout = Annotated[float, Parameter(help="seconds to wait at most")]
Yes = Annotated[bool, Parameter(negative="", help="don't ask first; needed where nobody can be asked")]
Server = Annotated[
    str, Parameter(help="the server: its id, its name, or the beginning of its name", completer=names.servers)
]
WholeServer = Annotated[str, Parameter(help="the server: its id or whole name", completer=names.servers)]
OfServer = Annotated[str | None, Parameter(help="only this server's", completer=names.servers)]
PlanName = Annotated[str | None, Parameter(help="the plan: its id, slug or name", completer=names.plans)]
SystemName = Annotated[
    str | None, Parameter(help="the operating system: its id, slug or name", completer=names.systems)
]
LocationName = Annotated[str | None, Parameter(help="the location: its code or name", completer=names.locations)]
DEFAULT_TIMEOUT_S = 900.0
