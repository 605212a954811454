"""Permissions: what a token may do, `resource:action`, with `*` for every resource or every action.

One registry, which the guards, the tokens' endpoint and the documents read. What only the operator may do has names
of its own, `accounts:…`: no `*` stands for those, so that a token for everything of an account is none for
everybody's, and the operator's account is asked for besides.
"""

from collections.abc import Iterable
from functools import cache

RESOURCES = {
    "servers": "servers, and the plans, operating systems and locations for them",
    "ssh_keys": "SSH keys",
    "snapshots": "snapshots of servers",
    "backups": "backups of servers",
    "tokens": "API tokens",
    "account": "the account itself, its ledger and its audit log",
    "webhooks": "webhooks",
    "events": "the stream of what happens",
    "dns": "DNS zones and records",
}
OPERATOR_RESOURCES = {
    "accounts": "everybody's accounts and audit log; operators only",
    "operations": "the installation itself: cells, everybody's actions, consistency; operators only",
}
ACTIONS = ("read", "write")

EVERYTHING = ["*:*"]
OPERATORS_EVERYTHING = [*EVERYTHING, *(f"{one}:*" for one in OPERATOR_RESOURCES)]


def known(*, operator: bool) -> list[str]:
    """Return every permission that a token may have, wildcards last."""
    resources = [*RESOURCES, *(OPERATOR_RESOURCES if operator else ())]
    exact = [f"{resource}:{action}" for resource in resources for action in ACTIONS]
    return [*exact, *(f"{resource}:*" for resource in resources), *(f"*:{action}" for action in ACTIONS), "*:*"]


def everything(*, operator: bool) -> list[str]:
    """Return the permissions of who signs in by password: all that the account may."""
    return OPERATORS_EVERYTHING if operator else EVERYTHING


@cache
def _coverers(wanted: str) -> frozenset[str]:
    resource, _, action = wanted.partition(":")
    resources = {resource} if resource in OPERATOR_RESOURCES else {resource, "*"}
    return frozenset(f"{one}:{other}" for one in resources for other in (action, "*"))


def allows(granted: Iterable[str], wanted: str) -> bool:
    """Whether one of the granted permissions covers the wanted one.

    A wanted wildcard is covered by the same or a wider one only: `servers:read` and `servers:write` together are not
    `servers:*`, which will also be what comes later.
    """
    return not _coverers(wanted).isdisjoint(granted)
