"""Things by name: an id or UUID, a name, or the beginning of one that fits nothing else.

What can't be taken back is found by its whole name only: the beginning of a name fits what one didn't think of.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar
from uuid import UUID

from openvps.cli.exits import UNKNOWN, Stop
from openvps.client import Client
from openvps.client.answer import Answer
from openvps.client.errors import NotFound
from openvps.client.models import Server, ServerSummary, SystemVersion

T = TypeVar("T", bound=Answer)


def is_id(text: str) -> bool:
    """Whether a text is an id or a UUID."""
    try:
        return (text.isascii() and text.isdecimal()) or bool(UUID(text))
    except ValueError:
        return False


def server(client: Client, text: str, *, whole: bool = False) -> Server | ServerSummary:
    """Return the server that `text` names. Raises Stop."""
    if is_id(text):
        try:
            return client.servers.get(text)
        except NotFound:
            pass  # perhaps a name that looks like an id
    return one(client.servers.list(name=text), text, "server", whole=whole)


def one(
    things: Iterable[T],
    text: str,
    what: str,
    names: Callable[[T], Iterable[str | int | None]] = lambda thing: (getattr(thing, "name", None),),
    *,
    whole: bool = False,
) -> T:
    """Return the thing that `text` names, by its id, one of its names, or the beginning of one. Raises Stop."""
    wanted, begins, called = text.casefold(), list[T](), list[T]()
    for thing in things:
        if text in {str(getattr(thing, "id", None)), str(getattr(thing, "uuid", None))}:
            return thing
        folded = [str(name).casefold() for name in names(thing) if name is not None]
        if wanted in folded:
            called.append(thing)
        elif any(name.startswith(wanted) for name in folded):
            begins.append(thing)
    found = called or ([] if whole else begins)
    if len(found) == 1:
        return found[0]
    if not found:
        near = f"; do you mean {_list(begins)}? Here the whole name is needed" if begins else ""
        raise Stop(f"there is no {what} {text}{near}", UNKNOWN)
    raise Stop(f"{text} fits several: {_list(found)}; name one by its id", UNKNOWN)


def _list(things: Iterable[Answer]) -> str:
    return ", ".join(f"{getattr(one, 'name', '')} ({getattr(one, 'id', None)})" for one in things)


def plan(client: Client, text: str) -> int:
    """Return the id of the plan that `text` names by id, slug or name."""
    return one(client.plans.list(), text, "plan", lambda thing: (thing.slug, thing.name)).id


def system(client: Client, text: str) -> int | str:
    """Return the id (elsewhere than on OpenVPS the UUID) of the system's version that `text` names."""
    found = one(versions(client), text, "operating system", lambda thing: (thing.slug, thing.name))
    return found.id if found.id is not None else found.uuid


def versions(client: Client) -> list[SystemVersion]:
    """Return all versions of all operating systems."""
    return [version for family in client.operating_systems.list() for version in family.versions]


def location(client: Client, text: str) -> str | int:
    """Return the code (elsewhere than on OpenVPS the id) of the location that `text` names."""
    found = one(client.locations.list(), text, "location", lambda thing: (thing.code, thing.name))
    return found.code if found.code is not None else found.id


def ssh_key(client: Client, text: str, *, whole: bool = False) -> int | str:
    """Return the id (elsewhere the UUID) of the key that `text` names, by fingerprint too."""
    found = one(client.ssh_keys.list(), text, "SSH key", lambda thing: (thing.name, thing.fingerprint), whole=whole)
    return found.id if found.id is not None else found.uuid
