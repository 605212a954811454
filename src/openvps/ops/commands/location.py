"""`openvps location`: where servers can be; on the host, whether new ones are made there."""

from typing import Annotated

from cyclopts import Parameter

from openvps.cli.catalogue import locations as app
from openvps.ops.commands.arguments import HOST

Location = Annotated[str, Parameter(help="the location's code")]
Reason = Annotated[str, Parameter(help="why; operators see it")]


@app.command(name="pause", group=HOST)
def pause_location(location: Location, *, reason: Reason = "") -> int:
    """Have no new servers made in any cell of a location; those that are there go on."""
    from openvps.ops import operations

    return operations.pause_location(location, reason)


@app.command(name="resume", group=HOST)
def resume_location(location: Location) -> int:
    """Have new servers made in a location again."""
    from openvps.ops import operations

    return operations.pause_location(location, None)
