"""Servers: list, create, change, power, resize, rebuild, delete."""

from typing import Any, TypeVar, Unpack

from openvps.client.bodies import NewServer, PartialUpdate
from openvps.client.calls import Call, Pages, Reference, Steps
from openvps.client.errors import NotFound
from openvps.client.models import (
    Action,
    ActionList,
    CreatedServer,
    Metrics,
    Password,
    Power,
    Preview,
    Resized,
    Server,
    ServerSummary,
    Ticket,
)
from openvps.client.operation import M, Resource, listing, operation
from openvps.client.sending import answer, send
from openvps.client.waiting import DEFAULT_S, Patience, Watch, action_done, server_settled, until

PAGE_SIZE = 100
P = TypeVar("P", Power, Resized)


class Servers(Resource[M]):
    """The account's servers.

    With `wait=True` a method returns when it is done, for at most `timeout_s`, and raises Failed if it failed;
    `watch` is told of every look. Its answer then has the status that the server ended in.
    """

    @listing
    def list(
        self,
        *,
        status: str | None = None,
        location: str | None = None,
        name: str | None = None,
        tag: str | None = None,
    ) -> Pages[ServerSummary]:
        """List servers, newest first; `name` is a part of it."""
        query = {"status": status, "location": location, "name": name, "tag": tag, "page_size": PAGE_SIZE}
        return Pages(Call("GET", "/servers/", query), ServerSummary)

    @operation
    def get(self, server_id: Reference) -> Steps[Server]:
        """Return one server, with what it uses."""
        return answer(self.endpoint, Call("GET", f"/servers/{server_id}/"), Server)

    @operation
    def create(
        self,
        *,
        wait: bool = False,
        timeout_s: float = DEFAULT_S,
        watch: Watch | None = None,
        **fields: Unpack[NewServer],
    ) -> Steps[CreatedServer]:
        """Create a server; with `wait`, a login at its address succeeds when this returns."""
        made = yield from answer(self.endpoint, Call("POST", "/servers/", body={**fields}), CreatedServer)
        if not wait:
            return made
        patience = Patience(timeout_s, watch)
        action_id = yield from _newest_action(self, made.id)
        settled = yield from server_settled(self.endpoint, made.id, action_id, patience)
        return CreatedServer.model_validate({**made.model_dump(), **settled.model_dump()})

    @operation
    def preview(self, **fields: Unpack[NewServer]) -> Steps[Preview]:
        """Say what a server would cost and what would be refused, and make nothing. OpenVPS only."""
        return answer(self.endpoint, Call("POST", "/servers/", {"dry_run": True}, {**fields}), Preview)

    @operation
    def update(self, server_id: Reference, **fields: Unpack[PartialUpdate]) -> Steps[Server]:
        """Change what is given, and nothing else."""
        return answer(self.endpoint, Call("PATCH", f"/servers/{server_id}/", body={**fields}), Server)

    @operation
    def settled(
        self, server_id: Reference, *, timeout_s: float = DEFAULT_S, watch: Watch | None = None
    ) -> Steps[Server]:
        """Wait until a server is on its way no more, wherever it was going."""
        path = f"/servers/{server_id}/"
        action_id = yield from _newest_action(self, server_id)
        if action_id is None:
            return (yield from server_settled(self.endpoint, server_id, None, Patience(timeout_s, watch)))
        yield from until(
            self.endpoint,
            f"/actions/{action_id}/",
            Action,
            lambda one: one.finished_at is not None,
            patience=Patience(timeout_s, watch),
            what=f"server {server_id}",
        )
        return (yield from answer(self.endpoint, Call("GET", path), Server))

    @operation
    def delete(
        self, server_id: Reference, *, wait: bool = False, timeout_s: float = DEFAULT_S, watch: Watch | None = None
    ) -> Steps[None]:
        """Delete a server for good; it is gone at once, `wait` is for what has to be cleared away."""
        reply = yield from send(self.endpoint, Call("DELETE", f"/servers/{server_id}/"))
        action = reply.headers.get("location", "").rstrip("/").rpartition("/")[2]
        if wait and action:
            yield from action_done(self.endpoint, action, Patience(timeout_s, watch), f"server {server_id}")

    @operation
    def start(
        self, server_id: Reference, *, wait: bool = False, timeout_s: float = DEFAULT_S, watch: Watch | None = None
    ) -> Steps[Power]:
        """Power on a stopped server."""
        return _ordered(self, f"/servers/{server_id}/start/", None, Power, Patience(timeout_s, watch), wait=wait)

    @operation
    def stop(
        self, server_id: Reference, *, wait: bool = False, timeout_s: float = DEFAULT_S, watch: Watch | None = None
    ) -> Steps[Power]:
        """Shut a running server down."""
        return _ordered(self, f"/servers/{server_id}/stop/", None, Power, Patience(timeout_s, watch), wait=wait)

    @operation
    def hard_stop(
        self, server_id: Reference, *, wait: bool = False, timeout_s: float = DEFAULT_S, watch: Watch | None = None
    ) -> Steps[Power]:
        """Cut a server's power at once."""
        patience, body = Patience(timeout_s, watch), {"action": "hard_stop"}
        return _ordered(self, f"/servers/{server_id}/power/", body, Power, patience, wait=wait)

    @operation
    def reboot(
        self, server_id: Reference, *, wait: bool = False, timeout_s: float = DEFAULT_S, watch: Watch | None = None
    ) -> Steps[Power]:
        """Restart a running server."""
        return _ordered(self, f"/servers/{server_id}/reboot/", None, Power, Patience(timeout_s, watch), wait=wait)

    @operation
    def resize(
        self,
        server_id: Reference,
        plan: Reference,
        *,
        wait: bool = False,
        timeout_s: float = DEFAULT_S,
        watch: Watch | None = None,
    ) -> Steps[Resized]:
        """Give a server another plan."""
        patience, body = Patience(timeout_s, watch), {"plan": plan}
        return _ordered(self, f"/servers/{server_id}/resize/", body, Resized, patience, wait=wait)

    @operation
    def rebuild(
        self,
        server_id: Reference,
        os_id: Reference,
        *,
        wait: bool = False,
        timeout_s: float = DEFAULT_S,
        watch: Watch | None = None,
    ) -> Steps[Power]:
        """Install an operating system anew; all data is lost. OpenVPS only."""
        patience, body = Patience(timeout_s, watch), {"os_id": os_id}
        return _ordered(self, f"/servers/{server_id}/rebuild/", body, Power, patience, wait=wait)

    @operation
    def retry(
        self, server_id: Reference, *, wait: bool = False, timeout_s: float = DEFAULT_S, watch: Watch | None = None
    ) -> Steps[Power]:
        """Have a server made that couldn't be, in the room and at the addresses it has kept. OpenVPS only."""
        return _ordered(self, f"/servers/{server_id}/retry/", None, Power, Patience(timeout_s, watch), wait=wait)

    @operation
    def reset_password(self, server_id: Reference) -> Steps[Password]:
        """Give root a new password; it is in this answer only. OpenVPS only."""
        return answer(self.endpoint, Call("POST", f"/servers/{server_id}/reset-password/"), Password)

    @operation
    def console(self, server_id: Reference) -> Steps[Ticket]:
        """Return a ticket for the serial console's websocket: good once, for 30 seconds. OpenVPS only."""
        return answer(self.endpoint, Call("POST", f"/servers/{server_id}/console/"), Ticket)

    @listing
    def actions(self, server_id: Reference) -> Pages[Action]:
        """List what was done to a server, newest first. OpenVPS only."""
        return Pages(Call("GET", f"/servers/{server_id}/actions/", {"page_size": PAGE_SIZE}), Action)

    @operation
    def metrics(
        self,
        server_id: Reference,
        metric: str,
        *,
        start: str | None = None,
        end: str | None = None,
        step: int | None = None,
    ) -> Steps[Metrics]:
        """Return what a server used over time. OpenVPS only."""
        query = {"metric": metric, "start": start, "end": end, "step": step}
        return answer(self.endpoint, Call("GET", f"/servers/{server_id}/metrics/", query), Metrics)


def _ordered(
    of: Resource[Any], path: str, body: dict[str, Any] | None, form: type[P], patience: Patience, *, wait: bool
) -> Steps[P]:
    """Order something of a server, and wait for it if that is wished."""
    told = yield from answer(of.endpoint, Call("POST", path, body=body), form)
    if not wait:
        return told
    settled = yield from server_settled(of.endpoint, told.server.id, told.action_id, patience)
    return form.model_validate(
        {**told.model_dump(), "server": {"id": settled.id, "name": settled.name, "status": settled.status}}
    )


def _newest_action(of: Resource[Any], server_id: Reference) -> Steps[int | None]:
    """Return the action that was begun last; None where there are no actions."""
    try:
        found = yield from answer(
            of.endpoint, Call("GET", f"/servers/{server_id}/actions/", {"page_size": 1}), ActionList
        )
    except NotFound:
        return None
    return found.results[0].id if found.results else None
