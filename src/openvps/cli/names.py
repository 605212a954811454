"""Live names for the shell's completion: what the API has now, or nothing if it doesn't answer in a moment."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openvps.client import Client

MOMENT_S = 2.0


def _live(names: "Callable[[Client], Iterable[str | None]]") -> Callable[[Any], list[str]]:
    def complete(_context: Any) -> list[str]:
        import httpx2

        from openvps.cli import contexts
        from openvps.client import Client, Endpoint

        _, context = contexts.chosen()
        http = httpx2.Client(event_hooks={"request": [_hurry]})
        with Client(context.url, context.token, endpoint=Endpoint(retries=0), http=http) as client:
            return [name for name in names(client) if name]

    return complete


def _hurry(request: Any) -> None:
    request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), MOMENT_S)


def _systems(client: "Client") -> list[str | None]:
    return [one.slug or one.name for family in client.operating_systems.list() for one in family.versions]


def contexts_(_context: Any) -> list[str]:
    """Return the names of contexts."""
    from openvps.cli import contexts

    return list(contexts.load().contexts)


servers = _live(lambda client: (one.name for one in client.servers.list()))
plans = _live(lambda client: (one.slug for one in client.plans.list()))
systems = _live(_systems)
locations = _live(lambda client: (one.code or one.name for one in client.locations.list()))
ssh_keys = _live(lambda client: (one.name for one in client.ssh_keys.list()))
snapshots = _live(lambda client: (one.name for one in client.snapshots.list()))
backups = _live(lambda client: (str(one.id) for one in client.backups.list()))
tokens = _live(lambda client: (str(one.id) for one in client.tokens.list()))
webhooks = _live(lambda client: (str(one.id) for one in client.webhooks.list()))
