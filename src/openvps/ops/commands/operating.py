"""What keeps an installation right: `openvps audit`."""

from typing import Annotated

from cyclopts import Parameter

from openvps.ops.commands.arguments import Output

Repair = Annotated[bool, Parameter(negative="", help="mend what can be mended without a person")]
Last = Annotated[bool, Parameter(negative="", help="don't look: print what was found last, by whoever looked")]


def audit(*, repair: Repair = False, last: Last = False, output: Output = "text") -> int:
    """Compare engine and database, both ways, as root: what is nobody's, missing, otherwise, or stuck.

    Nothing is changed without --repair. Exit code 0: they agree; 1: they don't; 2: a cell or the database couldn't be
    seen. A worker looks every night at 02:30 UTC: --last prints what was found last.
    """
    from openvps.ops import audit as room

    return room.main(output, repair=repair, last=last)
