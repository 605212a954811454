"""`openvps host`: a host of another cell, whose worker runs elsewhere."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from openvps.ops.commands.arguments import CellName

Address = Annotated[str, Parameter(help="HOST[:8443] at which the worker's machine reaches this one")]
Mount = Annotated[Path, Parameter(help="where the pool is mounted: /var/lib/incus/storage-pools/openvps")]

app = App(name="host")


@app.command
def prepare(address: Address, *, name: CellName) -> int:
    """Make this machine ready for servers, as `up` does, and print the command that adds it as a cell; as root.

    The settings are those of `up`: network mode, pools, storage. Nothing stays running but the engine.
    """
    from openvps.ops import host

    return host.main(address, name)


@app.command
def recount(mount: Mount) -> int:
    """Have btrfs count anew what servers hold of a storage pool; as root.

    Where `btrfs qgroup show` calls the data inconsistent, no server is kept to its disk's size until then. With
    systemd a unit looks every two seconds and does it; without, `openvps up` does so on its own machine.
    """
    from openvps.ops import host

    return host.recount(mount)
