"""The `openvps` command: each subcommand is a thin function that imports its room when it is called.

A command answers in less than half a second because nothing heavy is imported to print a help text.
"""

import os
import sys
from importlib.metadata import version
from typing import Annotated, Literal

from cyclopts import App, Parameter

Output = Annotated[Literal["text", "json"], Parameter(alias="-o", help="json for programs")]
System = Annotated[str, Parameter(help="the system, as `openvps image list` names it")]
Fingerprint = Annotated[str, Parameter(help="the image, as `openvps image list` names it")]
Purge = Annotated[
    bool,
    Parameter(
        negative="",
        help="then remove everything: servers, images, storage pool, network rules, database, the data folder",
    ),
]
Yes = Annotated[bool, Parameter(negative="", help="don't ask before removing")]

app = App(
    name="openvps",
    help="Turn this Linux machine into a VPS cloud that speaks the VPS.org API. Begin with `openvps up`.",
    version=lambda: version("openvps"),
    help_format="plaintext",
)
image = App(name="image", help="Build, list and retire the system images that new servers start from.")
app.command(image)


@app.command
def up() -> int:
    """Prepare this machine and run OpenVPS in the foreground, as root.

    The first time it makes everything: database, engine, storage pool, network, the Debian image, an account with a
    token. Later it takes everything up as it was. Ctrl-C ends it; servers keep running (`openvps down` stops them).
    """
    from openvps.ops import up as room

    return room.main()


@app.command
def down(*, purge: Purge = False, yes: Yes = False) -> int:
    """Stop OpenVPS on this machine: a running `up`, all servers, and the engine where it is our own.

    The next `openvps up` starts again the servers that ran.
    """
    from openvps.ops import down as room

    return room.main(purge=purge, yes=yes)


@app.command
def api() -> int:
    """Serve the API; `openvps up` runs this as the user openvps-api."""
    from openvps.ops import serve

    return serve.main()


@app.command
def worker() -> int:
    """Make machines what the database wants; `openvps up` runs this as the user openvps-worker."""
    from openvps import worker as room

    return room.main()


@app.command
def doctor(*, output: Output = "text") -> int:
    """Say what this machine can do, and what to do about what it can't."""
    from openvps.ops import doctor as room

    return room.main(output)


@image.command
def build(system: System) -> int:
    """Build an image of a system (for example debian-12) from its distribution's packages; new servers use it."""
    from openvps.ops import images

    return images.build(system)


@image.command(name="list")
def list_(*, output: Output = "text") -> int:
    """List systems and their images."""
    from openvps.ops import images

    return images.list_(output)


@image.command
def retire(fingerprint: Fingerprint) -> int:
    """Take an image out of use; servers made from it keep theirs."""
    from openvps.ops import images

    return images.retire(fingerprint)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; a bad setting is 2 and one line each."""
    os.umask(0o022)
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["up"] and {"--help", "-h"} & set(arguments):
        from openvps.ops import reference

        app["up"].help_epilogue = reference.text()
    try:
        return app(arguments, result_action="return_value") or 0
    except ConnectionError as error:
        print(f"openvps: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        lines = bad_settings(error)
        if not lines:
            raise
        for line in lines:
            print(f"openvps: {line}", file=sys.stderr)
        return 2


def bad_settings(error: ValueError) -> list[str]:
    """Return a line for each bad setting that `error` names; none if it is about something else.

    Values are left out: one may be a password.
    """
    from pydantic import ValidationError

    if not isinstance(error, ValidationError) or error.title != "Settings":
        return []
    return [
        (f"OPENVPS_{str(one['loc'][0]).upper()}: " if one["loc"] else "") + one["msg"].removeprefix("Value error, ")
        for one in error.errors(include_input=False, include_url=False)
    ]
