"""The life of a server: one table of what may be done when, and what becomes of it.

Settled: `active`, `stopped`, `suspended`, `error`. All others are on their way and have a deadline; a deadline passed
ends in `failed`, never in silence. Enforced by one compare-and-set UPDATE (`queries.begin`), so that two requests at
the same instant can't both win.
"""

from dataclasses import dataclass
from typing import Literal

Wanted = Literal["running", "stopped", "absent"]

SETTLED = frozenset({"active", "stopped", "suspended", "error"})


@dataclass(frozen=True)
class Transition:
    """One action: from where, through what, to where; `deadline_s` seconds are given to get there."""

    allowed: frozenset[str]
    meanwhile: str
    done: str | None  # None, here and below: as it was, active or stopped
    failed: str | None
    wanted: Wanted | None  # what converge makes true
    wanted_if_failed: Wanted | None
    deadline_s: int | None  # None: tried until done
    refused: str  # what the customer reads when it isn't allowed
    cancels: str | None = None  # it ends what runs, and this is told there as the reason


TRANSITIONS: dict[str, Transition] = {
    "create": Transition(
        allowed=frozenset(),
        meanwhile="provisioning",
        done="active",
        failed="error",
        wanted="running",
        wanted_if_failed="stopped",
        deadline_s=300,
        refused="",
    ),
    "retry": Transition(  # of a create that failed; what it has left is removed first
        allowed=frozenset({"error"}),
        meanwhile="provisioning",
        done="active",
        failed="error",
        wanted="running",
        wanted_if_failed="stopped",
        deadline_s=300,
        refused="Only a server that couldn't be made can be tried again; this one is {status}.",
    ),
    "start": Transition(
        allowed=frozenset({"stopped"}),
        meanwhile="starting",
        done="active",
        failed="stopped",
        wanted="running",
        wanted_if_failed="stopped",
        deadline_s=120,
        refused="Only a stopped server can be started; this one is {status}.",
    ),
    "stop": Transition(
        allowed=frozenset({"active"}),
        meanwhile="stopping",
        done="stopped",
        failed="active",
        wanted="stopped",
        wanted_if_failed="running",
        deadline_s=900,  # the longest grace that can be set is 600
        refused="Only an active server can be stopped; this one is {status}.",
    ),
    "reboot": Transition(
        allowed=frozenset({"active"}),
        meanwhile="rebooting",
        done="active",
        failed="stopped",
        wanted="running",
        wanted_if_failed="stopped",
        deadline_s=900,
        refused="Only an active server can be rebooted; this one is {status}.",
    ),
    "hard_stop": Transition(
        allowed=frozenset({"active", "starting", "stopping", "rebooting"}),
        meanwhile="stopping",
        done="stopped",
        failed="active",
        wanted="stopped",
        wanted_if_failed="running",
        deadline_s=120,
        refused="There is no power to cut: this server is {status}.",
        cancels="The server's power was cut.",
    ),
    "resize": Transition(
        allowed=frozenset({"active", "stopped"}),
        meanwhile="resizing",
        done=None,
        failed=None,
        wanted=None,
        wanted_if_failed=None,
        deadline_s=900,
        refused="Only an active or stopped server can be resized; this one is {status}.",
    ),
    "restore": Transition(  # of a snapshot; it starts again as it was
        allowed=frozenset({"active", "stopped"}),
        meanwhile="restoring",
        done=None,
        failed=None,
        wanted=None,
        wanted_if_failed=None,
        deadline_s=900,
        refused="Only an active or stopped server can be restored; this one is {status}.",
    ),
    "rebuild": Transition(
        allowed=frozenset({"active", "stopped"}),
        meanwhile="rebuilding",
        done="active",
        failed="stopped",
        wanted="running",
        wanted_if_failed="stopped",
        deadline_s=900,
        refused="Only an active or stopped server can be rebuilt; this one is {status}.",
    ),
    "suspend": Transition(  # by the account's standing, see suspension.py; `wanted` stays what the customer wanted
        allowed=frozenset({"active", "stopped"}),
        meanwhile="suspended",
        done="suspended",
        failed="suspended",
        wanted=None,
        wanted_if_failed=None,
        deadline_s=None,
        refused="",
    ),
    "unsuspend": Transition(
        allowed=frozenset({"suspended"}),
        meanwhile="starting",
        done=None,
        failed="stopped",
        wanted=None,
        wanted_if_failed="stopped",
        deadline_s=120,
        refused="",
    ),
    "delete": Transition(
        allowed=frozenset(
            {"active", "stopped", "suspended", "error"}
            | {"provisioning", "starting", "stopping", "rebooting", "resizing", "restoring", "rebuilding"}
        ),
        meanwhile="deleting",
        done="deleted",
        failed="deleting",
        wanted="absent",
        wanted_if_failed="absent",
        deadline_s=None,
        refused="This server can't be deleted now; it is {status}.",
        cancels="The server was deleted.",
    ),
}

STATUSES = frozenset({one.meanwhile for one in TRANSITIONS.values()}) | SETTLED


def goal(status: str, wanted: str) -> str:
    """Return what is to be made true: a suspended server is off whatever its customer wants, unless it is deleted."""
    return "stopped" if status == "suspended" and wanted == "running" else wanted


def level(wanted: str) -> str:
    """Return the status of a server that is what its row wants, and on no way."""
    return "active" if wanted == "running" else "stopped"


def transition(kind: str) -> Transition | None:
    """Return the transition of an action's kind (`server.start`), None for one that keeps the status."""
    return TRANSITIONS.get(kind.removeprefix("server."))
