"""`openvps server`: the account's servers."""

from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import App, Parameter

from openvps.cli import ask, names, server_access, server_console, server_history, server_power
from openvps.cli.arguments import (
    DEFAULT_TIMEOUT_S,
    Columns,
    LocationName,
    NoWait,
    Output,
    PlanName,
    Server,
    SystemName,
    Timeout,
    Watch,
    WholeServer,
    Yes,
)
from openvps.cli.exits import Stop, talk

if TYPE_CHECKING:
    from openvps.client import Client

Name = Annotated[str | None, Parameter(help="its name: letters, digits and hyphens")]
NewName = Annotated[str | None, Parameter(help="a new name")]
Hostname = Annotated[str | None, Parameter(help="its host name, if it shall be another than its name")]
SshKeys = Annotated[
    tuple[str, ...],
    Parameter(negative="", help="a key of the account, repeated; none: all of them", completer=names.ssh_keys),
]
Backups = Annotated[bool, Parameter(negative="", help="back it up every day")]
NewBackups = Annotated[bool | None, Parameter(help="whether to back it up every day")]
UserData = Annotated[str | None, Parameter(help="a file with cloud-init user data")]
Tags = Annotated[tuple[str, ...], Parameter(negative="", help="a label of your own, repeated")]
NewTags = Annotated[
    tuple[str, ...] | None, Parameter(negative="", help="a label of your own, repeated; they replace those there are")
]
OnlyStatus = Annotated[str | None, Parameter(help="only servers with this status")]
OnlyLocation = Annotated[
    str | None, Parameter(help="only servers in this location: its code", completer=names.locations)
]
OnlyNamed = Annotated[str | None, Parameter(help="only servers with this in their name")]
OnlyTagged = Annotated[str | None, Parameter(help="only servers with this tag")]
WaitFirst = Annotated[bool, Parameter(negative="", help="wait first until it is on its way no more")]

app = App(name="server")


@app.command(name="list")
def list_(
    *,
    status: OnlyStatus = None,
    location: OnlyLocation = None,
    name: OnlyNamed = None,
    tag: OnlyTagged = None,
    columns: Columns = "",
    watch: Watch = False,
    output: Output = "table",
) -> None:
    """List servers, newest first."""
    from openvps.cli.calling import calling
    from openvps.cli.output import show_list
    from openvps.cli.servers_shown import SERVER

    with calling() as client:
        show_list(
            SERVER,
            lambda: list(client.servers.list(status=status, location=location, name=name, tag=tag)),
            output,
            columns,
            watch=watch,
        )


@app.command
def show(
    server: Server,
    *,
    wait: WaitFirst = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    columns: Columns = "",
    output: Output = "table",
) -> None:
    """Show a server: its addresses, its size, and what it uses."""
    from openvps.cli import find
    from openvps.cli.calling import calling
    from openvps.cli.output import shown
    from openvps.cli.progress import waiting
    from openvps.cli.servers_shown import SERVER

    with calling() as client:
        found = find.server(client, server)
        if wait:
            with waiting(found.name, f"openvps server show {found.name} --wait") as progress:
                client.servers.settled(found.id, timeout_s=timeout, watch=progress)
        print(shown(SERVER, client.servers.get(found.id), output, columns), end="")


@app.command
def create(
    name: Name = None,
    *,
    plan: PlanName = None,
    system: SystemName = None,
    location: LocationName = None,
    hostname: Hostname = None,
    ssh_key: SshKeys = (),
    backups: Backups = False,
    user_data: UserData = None,
    tag: Tags = (),
    no_wait: NoWait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    output: Output = "table",
) -> None:
    """Create a server, and wait until one can log in. On a terminal it asks for what isn't named.

    A location or an operating system is taken without asking where there is only one.
    """
    from pathlib import Path

    from openvps.cli import find
    from openvps.cli.calling import calling
    from openvps.cli.output import row
    from openvps.cli.progress import waiting
    from openvps.cli.servers_shown import SERVER

    given = None if user_data is None else Path(user_data).read_text(encoding="utf-8")
    with calling() as client:
        name, plan_id, os_id, place = _wishes(client, name, plan, system, location)
        keys = [find.ssh_key(client, one) for one in ssh_key]
        fields: dict[str, Any] = {"name": name, "plan_id": plan_id, "os_id": os_id, "location": place}
        more = {"hostname": hostname, "user_data": given, "tags": list(tag), "backups_enabled": backups}
        more |= {"ssh_key_id": keys[0]} if len(keys) == 1 else {"ssh_keys": keys}
        fields |= {key: value for key, value in more.items() if value}
        if no_wait:
            made = client.servers.create(**cast("Any", fields))
        else:
            with waiting(name, f"openvps server show {name} --wait", last="ready") as progress:
                made = client.servers.create(wait=True, timeout_s=timeout, watch=progress, **cast("Any", fields))
        print(row(SERVER, made, output), end="")
        if made.status == "active" and output == "table":
            talk(f"log in: openvps server ssh {made.name}")


@app.command
def update(
    server: Server,
    *,
    name: NewName = None,
    hostname: Hostname = None,
    backups: NewBackups = None,
    tag: NewTags = None,
    output: Output = "table",
) -> None:
    """Change a server's name, host name, tags, or whether it is backed up; what isn't named stays."""
    from openvps.cli import find
    from openvps.cli.calling import calling
    from openvps.cli.output import row
    from openvps.cli.servers_shown import SERVER

    wishes = {"name": name, "hostname": hostname, "backups_enabled": backups, "tags": tag}
    fields: dict[str, Any] = {key: value for key, value in wishes.items() if value is not None}
    if not fields:
        raise Stop("say what to change: --name, --hostname, --tag, --backups or --no-backups")
    with calling() as client:
        changed = client.servers.update(find.server(client, server).id, **cast("Any", fields))
        print(row(SERVER, changed, output), end="")


@app.command
def delete(server: WholeServer, *, yes: Yes = False) -> None:
    """Delete a server with its disk and snapshots, for good; its backups stay."""
    from openvps.cli import find
    from openvps.cli.calling import calling
    from openvps.cli.server_access import forget_host_key

    with calling() as client:
        found = find.server(client, server, whole=True)
        ask.confirmed(f"Delete {found.name} ({found.ip_address or found.id}) for good?", yes=yes)
        client.servers.delete(found.id)
        forget_host_key(found)
        talk(f"{found.name} is deleted")


def _wishes(
    client: "Client", name: str | None, plan: str | None, system: str | None, location: str | None
) -> tuple[str, int, int | str, str | int]:
    """Return name, plan, system and location by their ids, asking for what isn't named. Raises Stop."""
    from openvps.cli import find

    places = [] if location else [one for one in client.locations.list() if one.is_active]
    systems = [] if system else [one for one in find.versions(client) if one.available is not False]
    missing = [
        said
        for said, is_missing in (
            ("a name", not name),
            ("--plan", not plan),
            ("--system", not system and len(systems) != 1),
            ("--location", not location and len(places) != 1),
        )
        if is_missing
    ]
    if missing and not ask.can_ask():
        raise Stop(f"say {', '.join(missing)}; on a terminal you would be asked")
    name = name or ask.text("name", "server-1")
    if not location:
        options = [(str(one.code or one.id), f"{one.name}, {one.country_name}") for one in places]
        location = options[0][0] if len(options) == 1 else ask.choice("location", options)
    if not plan:
        sold = [one for one in client.plans.list() if one.available and location in one.locations]
        sold.sort(key=lambda one: one.price_monthly)
        plan = ask.choice(
            "plan",
            [
                (one.slug, f"{one.vcpus} vCPU, {one.memory} MiB, {one.storage} GB, {one.price_monthly:.2f} a month")
                for one in sold
            ],
        )
    if not system:
        choices = [(one.slug or str(one.uuid), one.name) for one in systems]
        system = choices[0][0] if len(choices) == 1 else ask.choice("operating system", choices)
    return name, find.plan(client, plan), find.system(client, system), find.location(client, location)


for command in (
    *(server_power.start, server_power.stop, server_power.reboot, server_power.resize),
    *(server_power.rebuild, server_power.retry),
    *(server_access.ssh, server_console.console, server_access.reset_password),
    *(server_history.metrics, server_history.actions),
):
    app.command(command)
