"""Waiting until something is done: by long polls where the API has them, else by looking again and again.

What is under way is an action, if the API has those: it says how far it is, and why it failed. Elsewhere the thing's
own status is all there is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from openvps.client.answer import Answer
from openvps.client.calls import TIMEOUT_S, Call, Pause, Reference, Steps
from openvps.client.errors import Failed, NotDone, NotFound
from openvps.client.models import Action, Backup, Server, Snapshot
from openvps.client.sending import Endpoint, answer

A = TypeVar("A", bound=Answer)

LONG_POLL_S = 30
WATCHED_POLL_S = 2  # where somebody wants to see how far it is
FRESH_S, FRESH_LOOK_S = 5.0, 0.25  # and in the first seconds, in which a server is created, every quarter of one
LOOK_S = (1.0, 5.0)  # without long polls: the first pause and the longest
DEFAULT_S = 900.0

Watch = Callable[[Action | Server | Snapshot | Backup], None]


@dataclass(frozen=True)
class Patience:
    """How long to wait, and who is told of every look."""

    timeout_s: float = DEFAULT_S
    watch: Watch | None = None


def on_the_way(status: str) -> bool:
    """Whether a status passes by itself: `provisioning`, `stopping`, `in_progress`."""
    return status.endswith("ing") or status in {"in_progress", "queued", "new"}


def until(
    endpoint: Endpoint, path: str, form: type[A], done: Callable[[A], bool], *, patience: Patience, what: str
) -> Steps[A]:
    """Look at `path` until it is done. Raises NotDone after the patience's time."""
    began, pause_s = endpoint.clock(), LOOK_S[0]
    while True:
        asked = endpoint.clock()
        fresh = patience.watch is not None and asked - began < FRESH_S
        longest_s = 0 if fresh else WATCHED_POLL_S if patience.watch else LONG_POLL_S
        wait_s = max(0, int(min(patience.timeout_s - (asked - began), longest_s)))
        query: dict[str, Any] = {"wait": wait_s} if wait_s else {}
        seen = yield from answer(endpoint, Call("GET", path, query, timeout_s=TIMEOUT_S + wait_s), form)
        if patience.watch and isinstance(seen, Action | Server | Snapshot | Backup):
            patience.watch(seen)
        if done(seen):
            return seen
        now = endpoint.clock()
        left_s = patience.timeout_s - (now - began)
        if left_s <= 0:
            raise NotDone(f"{what} isn't done after {patience.timeout_s:.0f} s; it goes on")
        if fresh:
            yield Pause(min(FRESH_LOOK_S, left_s))
        elif now - asked < wait_s / 2 or not wait_s:  # it answered at once: no long polls here
            yield Pause(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, LOOK_S[1])


def action_done(endpoint: Endpoint, action_id: Reference, patience: Patience, what: str) -> Steps[Action]:
    """Wait for an action. Raises Failed with its reason, NotDone, and NotFound where there are no actions."""
    path = f"/actions/{action_id}/"
    done = yield from until(
        endpoint, path, Action, lambda one: one.finished_at is not None, patience=patience, what=what
    )
    if done.status != "completed":
        raise Failed(what, done.error or done.status)
    return done


def server_settled(
    endpoint: Endpoint, server_id: Reference, action_id: Reference | None, patience: Patience
) -> Steps[Server]:
    """Wait until a server has got where it was sent. Raises Failed, NotDone."""
    path = f"/servers/{server_id}/"
    if action_id is not None:
        try:
            yield from action_done(endpoint, action_id, patience, f"server {server_id}")
        except NotFound:
            pass  # an API without actions
        else:
            return (yield from answer(endpoint, Call("GET", path), Server))
    settled = yield from until(
        endpoint,
        path,
        Server,
        lambda one: not on_the_way(one.status),
        patience=patience,
        what=f"server {server_id}",
    )
    if settled.status == "error":
        raise Failed(f"server {server_id}", settled.error)
    return settled
