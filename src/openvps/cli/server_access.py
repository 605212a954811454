"""`openvps server ssh` and `reset-password`: ways into a server."""

import base64
import binascii
import hashlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from openvps.cli import contexts
from openvps.cli.arguments import Server
from openvps.cli.exits import Stop, talk

if TYPE_CHECKING:
    from openvps.client import Client
    from openvps.client.models import Server as Found
    from openvps.client.models import ServerSummary

User = Annotated[str, Parameter(help="whom to log in as")]
Identity = Annotated[
    str | None, Parameter(alias="-i", help="a file with the private key, if the right one isn't found")
]
Ipv6 = Annotated[bool, Parameter(negative="", help="go to its IPv6 address")]
Command = Annotated[str, Parameter(allow_leading_hyphen=True, help="what to run there, instead of a shell")]


def ssh(
    server: Server, *command: Command, user: User = "root", identity: Identity = None, ipv6: Ipv6 = False
) -> None:
    """Log in to a server by ssh, with the key that the account has, or run a command there.

    The server is known by its own name to ssh: an address that another server had before is no reason for alarm.
    """
    from openvps.cli import find
    from openvps.cli.calling import calling

    _, context = contexts.chosen()
    with calling() as client:
        found = client.servers.get(find.server(client, server).id)
        key = identity or _key(client) or context.identity
    address = found.ipv6_address if ipv6 or not found.ip_address else found.ip_address
    if not address:
        raise Stop(f"{found.name} has no {'IPv6 ' if ipv6 else ''}address; it is {found.status}", 1)
    if found.status != "active":
        talk(f"openvps: {found.name} is {found.status}; trying nevertheless")
    options = [f"HostKeyAlias={_alias(found)}", f"UserKnownHostsFile={_known_hosts()}"]
    options += ["StrictHostKeyChecking=accept-new", "ConnectionAttempts=10"]  # right after a boot sshd follows
    argv = ["ssh", *(["-i", key] if key else []), *(word for one in options for word in ("-o", one))]
    contexts.folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.execvp("ssh", [*argv, f"{user}@{address}", *command])  # noqa: S606, S607 -- ssh is the user's own
    except FileNotFoundError:
        raise Stop("ssh isn't installed here", 1) from None


def reset_password(server: Server) -> None:
    """Give root a new password and print it, this once; it works within seconds."""
    from openvps.cli import find
    from openvps.cli.calling import calling

    with calling() as client:
        made = client.servers.reset_password(find.server(client, server).id)
    if made.password is None:  # a repetition: the first answer, which had it, was lost
        raise Stop("the password is reset, but was lost on the way: reset it once more", 1)
    print(made.password)


def forget_host_key(server: "Found | ServerSummary") -> None:
    """Forget the key by which ssh knows a server that is no more, or another now."""
    if _known_hosts().exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-R", _alias(server), "-f", str(_known_hosts())],  # noqa: S607 -- the user's own
            check=False,
            capture_output=True,
        )


def fingerprint(line: str) -> str | None:
    """Return the fingerprint of a public key's line, as ssh and the API write it; None if it is no key."""
    words = line.split()
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (IndexError, binascii.Error):
        return None
    return f"SHA256:{base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}"


def _key(client: "Client") -> str | None:
    """Return the file of a private key of ours whose public half the account has."""
    known = {one.fingerprint for one in client.ssh_keys.list()}
    for public in sorted((Path.home() / ".ssh").glob("*.pub")):
        private = public.with_suffix("")
        if private.exists() and fingerprint(public.read_text(encoding="utf-8", errors="replace")) in known:
            return str(private)
    return None


def _alias(server: "Found | ServerSummary") -> str:
    """Return a name for ssh that no other server ever has."""
    return f"openvps-{server.uuid or server.id}"


def _known_hosts() -> Path:
    return contexts.folder() / "known_hosts"
