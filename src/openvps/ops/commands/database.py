"""`openvps database`: back to what it was before an upgrade."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

DumpFile = Annotated[Path, Parameter(help="one of DATA_DIR/dumps, newest last by name")]

app = App(name="database")


@app.command
def restore(file: DumpFile) -> int:
    """Replace the database by a dump that `openvps up` made before it changed the tables; nothing else may run."""
    from openvps.ops import dump

    return dump.restore(file)
