"""`openvps up`, `down`, `doctor`, and the processes that `up` runs."""

from typing import Annotated

from cyclopts import Parameter

from openvps.ops.commands.arguments import Output

Purge = Annotated[
    bool,
    Parameter(
        negative="",
        help="then remove everything: servers, images, storage pool, network rules, database, the data folder",
    ),
]
Yes = Annotated[bool, Parameter(negative="", help="don't ask before removing")]


def up() -> int:
    """Prepare this machine and run OpenVPS in the foreground, as root.

    The first time it makes everything: database, engine, storage pool, network, the Debian image, an account with a
    token. Later it takes everything up as it was. Ctrl-C ends it; servers keep running (`openvps down` stops them).
    """
    from openvps.ops import up as room

    return room.main()


def down(*, purge: Purge = False, yes: Yes = False) -> int:
    """Stop OpenVPS on this machine: a running `up`, all servers, and the engine where it is our own.

    The next `openvps up` starts again the servers that ran.
    """
    from openvps.ops import down as room

    return room.main(purge=purge, yes=yes)


def api() -> int:
    """Serve the API; `openvps up` runs this as the user openvps-api."""
    from openvps.ops import serve

    return serve.main()


def worker() -> int:
    """Make machines what the database wants; `openvps up` runs this as the user openvps-worker."""
    from openvps import worker as room

    return room.main()


def console() -> int:
    """Carry bytes between API and servers' serial consoles; `openvps up` runs this as the user openvps-console."""
    from openvps import console as room

    return room.main()


def doctor(*, output: Output = "text") -> int:
    """Say what this machine can do, and what to do about what it can't."""
    from openvps.ops import doctor as room

    return room.main(output)
