"""`openvps database`: back to what it was before an upgrade; `backup-control-plane` and back from its loss."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

Which = Annotated[str | None, Parameter(help="the beginning of its id, as it was told; left out: the newest")]
DumpFile = Annotated[Path, Parameter(help="one of DATA_DIR/dumps, newest last by name")]

app = App(name="database")


@app.command
def restore(file: DumpFile) -> int:
    """Replace the database by a dump that `openvps up` made before it changed the tables; nothing else may run."""
    from openvps.ops import dump

    return dump.restore(file)


def backup_control_plane() -> int:
    """Store database and keys where servers' backups are, encrypted as they are; `openvps up` may run."""
    from openvps.ops import control_plane as room

    return room.backup()


def restore_control_plane(which: Which = None, /) -> int:
    """Put database and keys back as they were stored; nothing else may run. Needs the store's key in its place."""
    from openvps.ops import control_plane as room

    return room.restore(which)
