"""`openvps host`: a host of another cell, whose worker runs elsewhere."""

from typing import Annotated

from cyclopts import App, Parameter

from openvps.ops.commands.arguments import CellName

Address = Annotated[str, Parameter(help="HOST[:8443] at which the worker's machine reaches this one")]

app = App(name="host")


@app.command
def prepare(address: Address, *, name: CellName) -> int:
    """Make this machine ready for servers, as `up` does, and print the command that adds it as a cell; as root.

    The settings are those of `up`: network mode, pools, storage. Nothing stays running but the engine.
    """
    from openvps.ops import host

    return host.main(address, name)
