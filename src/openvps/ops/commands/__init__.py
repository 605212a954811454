"""The `openvps` command: its tables of topics, each a module that is imported when it is called.

To add a command, write its function, or an `App` of several, in a module, and add its line to a table here: an
operator's, which acts on the host, in a module beside this one; a customer's, which calls the API, in `openvps.cli`.
Where both have a topic, its module here has both. A help text comes in a moment because nothing heavy is imported for
it: a command imports its room as the first thing it does.
"""

import os
import sys
from importlib.metadata import version

from cyclopts import App, Group

from openvps.ops.commands.arguments import HOST
from openvps.ops.commands.ending import told

CUSTOMERS: dict[str, tuple[str, str]] = {
    # command: its module and its App there, and what `openvps --help` says of it
    "server": ("cli.server:app", "List, create, show, change, power, resize and delete servers; log in to them."),
    "snapshot": ("cli.copies:snapshots", "Keep a server's disk as it is, and put it back."),
    "backup": ("cli.copies:backups", "Copies of servers' disks in a store of their own."),
    "ssh-key": ("cli.ssh_key:app", "The keys that open new servers."),
    "plan": ("ops.commands.plan:app", "Sizes and prices; on the host: add, change and retire them."),
    "system": ("cli.catalogue:systems", "Operating systems that a server can have."),
    "location": ("ops.commands.location:app", "Places where a server can be; on the host: pause them."),
    "account": ("ops.commands.account:app", "Your account and what it costs; on the host: everybody's."),
    "token": ("ops.commands.token:app", "API tokens: your own; on the host: anybody's."),
    "webhook": ("cli.webhook:app", "Addresses of yours to which events are sent, and what became of them."),
    "context": ("cli.context:app", "Which API these commands call, and with which token."),
    "completion": ("ops.commands.completion:completion", "Print what completes commands and names in a shell."),
}
OPERATORS: dict[str, tuple[str, str | None]] = {
    # likewise; None: a function's own first line, read at once
    "up": ("ops.commands.machine:up", None),
    "down": ("ops.commands.machine:down", None),
    "api": ("ops.commands.machine:api", None),
    "worker": ("ops.commands.machine:worker", None),
    "console": ("ops.commands.machine:console", None),
    "doctor": ("ops.commands.machine:doctor", None),
    "image": ("ops.commands.image:app", "Build, list and retire the system images that new servers start from."),
    "cell": ("ops.commands.cell:app", "Add, list, change and remove cells on other machines."),
    "host": ("ops.commands.host:app", "Prepare a host of another cell, whose worker runs elsewhere."),
    "action": ("ops.commands.action:app", "Everybody's unfinished actions: list, try again, cancel."),
    "service": ("ops.commands.service:app", "Run OpenVPS under systemd, with several apis and workers."),
    "audit": ("ops.commands.operating:audit", None),
    "backup-control-plane": ("ops.commands.database:backup_control_plane", None),
    "restore-control-plane": ("ops.commands.database:restore_control_plane", None),
    "database": ("ops.commands.database:app", "Put the database back to what it was before an upgrade."),
}

app = App(
    name="openvps",
    help="Turn this Linux machine into a VPS cloud that speaks the VPS.org API: begin with `openvps up`. Or call "
    "such a cloud, here or elsewhere: `openvps server create`. `openvps --context NAME COMMAND` calls another once.",
    version=lambda: version("openvps"),
    help_format="plaintext",
)
for section, topics in ((Group("Servers and your account", sort_key=1), CUSTOMERS), (HOST, OPERATORS)):
    for topic, (place, said) in topics.items():
        app.command(f"openvps.{place}", name=topic, help=said, group=section)
        if said is None:
            app[topic]


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; a bad setting is 2 and one line each."""
    os.umask(0o022)
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["--context"] and len(arguments) > 1:
        os.environ["OPENVPS_CONTEXT"], arguments = arguments[1], arguments[2:]
    if arguments[:1] == ["up"] and {"--help", "-h"} & set(arguments):
        from openvps.ops import reference

        app["up"].help_epilogue = reference.text()
    try:
        return app(arguments, result_action="return_value", exit_on_error=False) or 0
    except (Exception, KeyboardInterrupt) as error:
        code = told(error)
        if code is None:
            raise
        return code
