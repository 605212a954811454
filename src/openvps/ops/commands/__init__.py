"""The `openvps` command: its table of topics, each a module that is imported when it is called.

To add a command, write its function, or an `App` of several, in a module beside this one and add its line to
`TOPICS`. A help text comes in a moment because nothing heavy is imported for it: a command imports its room as the
first thing it does.
"""

import os
import sys
from importlib.metadata import version

from cyclopts import App

TOPICS: dict[str, tuple[str, str | None]] = {
    # command: where it is, and what `openvps --help` says of it (None: a function's own first line, read at once)
    "up": ("machine:up", None),
    "down": ("machine:down", None),
    "api": ("machine:api", None),
    "worker": ("machine:worker", None),
    "doctor": ("machine:doctor", None),
    "image": ("image:app", "Build, list and retire the system images that new servers start from."),
    "account": ("account:app", "Make, list, change, disable and delete customers' accounts."),
    "plan": ("plan:app", "List, add, change and retire the plans that servers are sold by."),
    "token": ("token:app", "Make, list and revoke API tokens of any account."),
    "cell": ("cell:app", "Add, list, change and remove cells on other machines."),
    "host": ("host:app", "Prepare a host of another cell, whose worker runs elsewhere."),
    "database": ("database:app", "Put the database back to what it was before an upgrade."),
}

app = App(
    name="openvps",
    help="Turn this Linux machine into a VPS cloud that speaks the VPS.org API. Begin with `openvps up`.",
    version=lambda: version("openvps"),
    help_format="plaintext",
)
for topic, (place, said) in TOPICS.items():
    app.command(f"openvps.ops.commands.{place}", name=topic, help=said)
    if said is None:
        app[topic]


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
