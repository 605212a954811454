"""`openvps ssh-key`: the keys that open new servers."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from openvps.cli import ask, names
from openvps.cli.arguments import Columns, Output, Yes
from openvps.cli.exits import Stop, talk

KeyFile = Annotated[Path | None, Parameter(help="the public key; not given: the first of ~/.ssh/*.pub")]
KeyName = Annotated[str | None, Parameter(help="a name to know it by; not given: what stands behind the key")]
WhichKey = Annotated[
    str, Parameter(help="the key: its id, its whole name or its fingerprint", completer=names.ssh_keys)
]

app = App(name="ssh-key")


@app.command(name="list")
def list_(*, columns: Columns = "", output: Output = "table") -> None:
    """List keys, newest first."""
    from openvps.cli.calling import calling
    from openvps.cli.output import listed

    with calling() as client:
        print(listed(_table(), list(client.ssh_keys.list()), output, columns), end="")


@app.command
def add(file: KeyFile = None, *, name: KeyName = None, output: Output = "table") -> None:
    """Add a public key; servers created from now on open to it."""
    from openvps.cli.calling import calling
    from openvps.cli.output import row

    file = file or next(iter(sorted((Path.home() / ".ssh").glob("*.pub"))), None)
    if file is None:
        raise Stop("there is no key in ~/.ssh; make one with ssh-keygen -t ed25519, or name its file")
    try:
        line = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"{file} can't be read: {error}") from None
    if "PRIVATE KEY" in line:
        raise Stop(f"{file} is a private key, which nobody else should get; name {file}.pub")
    words = line.split(maxsplit=2)
    with calling() as client:
        made = client.ssh_keys.create(name or (words[2] if len(words) > 2 else file.stem), line)  # noqa: PLR2004 -- type, key, comment
        print(row(_table(), made, output), end="")


@app.command
def delete(key: WhichKey, *, yes: Yes = False) -> None:
    """Forget a key; servers that have it keep it."""
    from openvps.cli import find
    from openvps.cli.calling import calling

    with calling() as client:
        number = find.ssh_key(client, key, whole=True)
        ask.confirmed(f"Forget the key {key}?", yes=yes)
        client.ssh_keys.delete(number)
        talk(f"key {key} is forgotten")


def _table():  # noqa: ANN202 -- imported inside
    from openvps.cli.output import Table

    return Table(
        {
            "id": lambda one: one.id or one.uuid,
            "name": lambda one: one.name,
            "fingerprint": lambda one: one.fingerprint,
            "created": lambda one: one.created_at,
            "used": lambda one: one.last_used_at,
        },
        ("id", "name", "fingerprint", "created"),
    )
