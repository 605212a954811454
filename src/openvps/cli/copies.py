"""`openvps snapshot` and `openvps backup`: copies of a server's disk, and putting them back."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from openvps.cli import ask, names
from openvps.cli.arguments import (
    DEFAULT_TIMEOUT_S,
    Columns,
    NoWait,
    OfServer,
    Output,
    Server,
    Timeout,
    Watch,
    Yes,
)
from openvps.cli.exits import talk

if TYPE_CHECKING:
    from openvps.cli.output import Table
    from openvps.client import Client
    from openvps.client.models import Backup, Snapshot

SnapshotName = Annotated[str, Parameter(help="a name for it: letters, digits, - and _")]
WhichSnapshot = Annotated[str, Parameter(help="the snapshot: its id or whole name", completer=names.snapshots)]
WhichBackup = Annotated[str, Parameter(help="the backup: its id", completer=names.backups)]
Description = Annotated[str, Parameter(help="what it is for")]
BackupType = Annotated[Literal["manual", "automatic"] | None, Parameter(help="only those")]
OfThisServer = Annotated[
    str | None, Parameter(help="its server, where several have one of that name", completer=names.servers)
]

snapshots = App(name="snapshot")
backups = App(name="backup")


@snapshots.command(name="list")
def list_snapshots(
    server: OfServer = None, *, columns: Columns = "", watch: Watch = False, output: Output = "table"
) -> None:
    """List snapshots, newest first."""
    from openvps.cli import find
    from openvps.cli.calling import calling
    from openvps.cli.output import show_list

    with calling() as client:
        number = find.server(client, server).id if server else None
        show_list(_snapshots(), lambda: list(client.snapshots.list(server_id=number)), output, columns, watch=watch)


@snapshots.command(name="create")
def create_snapshot(
    server: Server,
    name: SnapshotName,
    *,
    description: Description = "",
    no_wait: NoWait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    output: Output = "table",
) -> None:
    """Keep a server's disk as it is now; it is kept where the server is, and deleted with it."""
    from openvps.cli import find
    from openvps.cli.calling import calling
    from openvps.cli.output import row
    from openvps.cli.progress import waiting

    with calling() as client:
        found = find.server(client, server).id
        if no_wait:
            made = client.snapshots.create(found, name, description=description)
        else:
            with waiting(name, f"openvps snapshot list {found} --watch") as progress:
                made = client.snapshots.create(
                    found, name, description=description, wait=True, timeout_s=timeout, watch=progress
                )
        print(row(_snapshots(), made, output), end="")


@snapshots.command(name="restore")
def restore_snapshot(
    snapshot: WhichSnapshot,
    *,
    server: OfThisServer = None,
    yes: Yes = False,
    no_wait: NoWait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Put a server's disk back to what the snapshot has: what is newer is lost."""
    from openvps.cli.calling import calling

    with calling() as client:
        found = _snapshot(client, snapshot, server)
        _put_back(client, client.snapshots.restore, found, found.name, yes=yes, no_wait=no_wait, timeout=timeout)


@snapshots.command(name="delete")
def delete_snapshot(snapshot: WhichSnapshot, *, server: OfThisServer = None, yes: Yes = False) -> None:
    """Delete a snapshot."""
    from openvps.cli.calling import calling

    with calling() as client:
        found = _snapshot(client, snapshot, server)
        ask.confirmed(f"Delete the snapshot {found.name} of {found.server.name}?", yes=yes)
        client.snapshots.delete(found.id)
        talk(f"snapshot {found.name} is deleted")


@backups.command(name="list")
def list_backups(
    server: OfServer = None,
    *,
    kind: BackupType = None,
    columns: Columns = "",
    watch: Watch = False,
    output: Output = "table",
) -> None:
    """List backups, newest first, those of deleted servers too."""
    from openvps.cli import find
    from openvps.cli.calling import calling
    from openvps.cli.output import show_list

    with calling() as client:
        number = find.server(client, server).id if server else None
        show_list(
            _backups(),
            lambda: list(client.backups.list(server_id=number, backup_type=kind)),
            output,
            columns,
            watch=watch,
        )


@backups.command(name="create")
def create_backup(
    server: Server,
    *,
    description: Description = "",
    no_wait: NoWait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    output: Output = "table",
) -> None:
    """Copy a server's disk into the store of backups; it outlives the server."""
    from openvps.cli import find
    from openvps.cli.calling import calling
    from openvps.cli.output import row
    from openvps.cli.progress import waiting

    with calling() as client:
        found = find.server(client, server)
        if no_wait:
            made = client.backups.create(found.id, description=description)
        else:
            with waiting(f"backup of {found.name}", f"openvps backup list {found.id} --watch") as progress:
                made = client.backups.create(
                    found.id, description=description, wait=True, timeout_s=timeout, watch=progress
                )
        print(row(_backups(), made, output), end="")


@backups.command(name="restore")
def restore_backup(
    backup: WhichBackup, *, yes: Yes = False, no_wait: NoWait = False, timeout: Timeout = DEFAULT_TIMEOUT_S
) -> None:
    """Put a backup over its server: what is newer is lost."""
    from openvps.cli.calling import calling

    with calling() as client:
        found = client.backups.get(backup)
        what = f"backup of {found.created_at}"
        _put_back(client, client.backups.restore, found, what, yes=yes, no_wait=no_wait, timeout=timeout)


@backups.command(name="verify")
def verify_backup(
    backup: WhichBackup,
    *,
    no_wait: NoWait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    output: Output = "table",
) -> None:
    """Prove that a backup can be restored: in a machine without network, compared, booted and thrown away."""
    from openvps.cli.calling import calling
    from openvps.cli.output import row
    from openvps.cli.progress import waiting

    with calling() as client:
        found = client.backups.get(backup)
        if no_wait:
            told = client.backups.verify(found.id)
        else:
            with waiting(f"backup of {found.server.name}", f"openvps backup list {found.server.id}") as progress:
                told = client.backups.verify(found.id, wait=True, timeout_s=timeout, watch=progress)
        print(row(_backups(), told, output), end="")


@backups.command(name="delete")
def delete_backup(backup: WhichBackup, *, yes: Yes = False) -> None:
    """Delete a backup."""
    from openvps.cli.calling import calling

    with calling() as client:
        found = client.backups.get(backup)
        ask.confirmed(f"Delete the backup of {found.server.name} of {found.created_at}?", yes=yes)
        client.backups.delete(found.id)
        talk(f"backup {found.id} is deleted")


def _put_back(
    client: "Client",
    restore: Any,
    found: "Snapshot | Backup",
    what: str,
    *,
    yes: bool,
    no_wait: bool,
    timeout: float,
) -> None:
    from openvps.cli.progress import waiting
    from openvps.cli.server_access import forget_host_key

    server = found.server
    ask.confirmed(f"Put the {what} over {server.name}? What is newer there will be lost.", yes=yes)
    if no_wait:
        talk(restore(found.id).message)
    else:
        with waiting(server.name, f"openvps server show {server.id} --wait") as progress:
            restore(found.id, wait=True, timeout_s=timeout, watch=progress)
    forget_host_key(client.servers.get(server.id))  # where a rebuild came between, the old disk has another


def _snapshot(client: "Client", text: str, server: str | None) -> "Snapshot":
    from openvps.cli import find

    number = find.server(client, server).id if server else None
    return find.one(client.snapshots.list(server_id=number), text, "snapshot", whole=True)


def _snapshots() -> "Table":
    from openvps.cli.output import Table

    return Table(
        {
            "id": lambda one: one.id,
            "name": lambda one: one.name,
            "server": lambda one: one.server.name,
            "status": lambda one: one.status,
            "size": lambda one: None if one.size_mb is None else f"{one.size_mb:g} MB",
            "created": lambda one: one.created_at,
            "description": lambda one: one.description,
            "error": lambda one: one.error,
        },
        ("id", "name", "server", "status", "size", "created"),
    )


def _backups() -> "Table":
    from openvps.cli.output import Table

    return Table(
        {
            "id": lambda one: one.id,
            "server": lambda one: one.server.name,
            "type": lambda one: one.backup_type,
            "status": lambda one: one.status,
            "size": lambda one: None if one.size_mb is None else f"{one.size_mb:g} MB",
            "created": lambda one: one.created_at,
            "verified": lambda one: one.verified_at,
            "expires": lambda one: one.expires_at,
            "description": lambda one: one.description,
            "error": lambda one: one.error,
            "verify-error": lambda one: one.verify_error,
        },
        ("id", "server", "type", "status", "size", "created", "verified", "expires"),
        lambda one: one.id,
    )
