"""`openvps context`: which APIs are known, and which one commands call."""

import getpass
import sys
from typing import Annotated

from cyclopts import App, Parameter

from openvps.cli import ask, contexts, names
from openvps.cli.exits import UNKNOWN, Stop, talk

NewName = Annotated[str, Parameter(help="a name for it")]
Url = Annotated[str, Parameter(help="the API's address, like cloud.example.org or http://127.0.0.1:8080/api/v1")]
Identity = Annotated[str | None, Parameter(help="the private key that opens its servers, if it isn't in ~/.ssh")]
Use = Annotated[bool, Parameter(negative="", help="use it from now on")]
Which = Annotated[str, Parameter(help="its name", completer=names.contexts_)]
Unasked = Annotated[bool, Parameter(negative="", help="don't try whether the token is accepted")]

app = App(name="context")


@app.command
def add(name: NewName, url: Url, *, use: Use = False, identity: Identity = None, unchecked: Unasked = False) -> None:
    """Add an API with a token for it, or change one; the token is asked for, or read from standard input.

    The token is tried and then kept in a file that only you can read. The first context is used at once.
    """
    context = contexts.Context(contexts.normal(url), _token(), identity)
    if contexts.in_clear(context.url):
        talk(f"openvps: {context.url} isn't https: whoever is on the way can read the token")
    if not unchecked:
        from openvps.client import Client

        with Client(context.url, context.token) as client:
            talk(f"signed in as {client.account.get().account.email}")
    file = contexts.save(contexts.load().with_(name, context, use=use))
    talk(f"{name} is kept in {file}")


@app.command(name="list")
def list_() -> None:
    """List contexts, the one in use with a star."""
    known = contexts.load()
    for name, one in sorted(known.contexts.items()):
        print(f"{'*' if name == known.current else ' '} {name:16}  {one.url}")
    try:
        used, context = contexts.chosen()
    except Stop as error:
        talk(f"openvps: {error}")
        return
    if used != known.current:
        talk(f"in use by the environment: {used}, {context.url}")


@app.command
def use(name: Which) -> None:
    """Use a context from now on."""
    known = contexts.load()
    _require(known, name)
    contexts.save(contexts.Contexts(name, known.contexts))


@app.command
def remove(name: Which) -> None:
    """Forget a context and its token; the token itself stays valid."""
    known = contexts.load()
    _require(known, name)
    contexts.save(known.without(name))


def _require(known: contexts.Contexts, name: str) -> None:
    if name not in known.contexts:
        raise Stop(f"there is no context {name}; there are {', '.join(sorted(known.contexts)) or 'none'}", UNKNOWN)


def _token() -> str:
    """Read a token: never from an argument, which others on the machine could see."""
    text = getpass.getpass("token: ") if ask.can_ask() else sys.stdin.readline()
    token = text.strip()
    if not token or not token.isascii() or any(one.isspace() for one in token):
        raise Stop("no token was given: type it, or send it to standard input")
    return token
