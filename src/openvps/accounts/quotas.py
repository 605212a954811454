"""Quotas: how much an account may have, and how fast it may make it.

An account's own number wins over the installation's setting. What there is now is counted by who knows servers, and
under the account's lock (`queries.lock_account` returns the row), so that two requests at once can't both be the last
one allowed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from openvps.core.db import Record
from openvps.core.errors import BadRequest
from openvps.core.settings import Settings

MORE = "or ask your provider for more."


@dataclass(frozen=True)
class Use:
    """What an account has now, and how many servers it created in the last 60 minutes."""

    servers: int
    vcpus: int
    creates_last_hour: int


def refusals(account: Record, settings: Settings, use: Use, *, servers: int, vcpus: int) -> Iterator[BadRequest]:
    """Yield why the account may not have `servers` and `vcpus` more: all reasons, so that a preview can name them.

    A resize asks for no server and the vCPUs that come on top.
    """
    most = _limit(account.max_servers, settings.max_servers)
    if servers > 0 and use.servers + servers > most:
        yield BadRequest(f"This account may have {most} servers. Delete one, {MORE}")
    most = _limit(account.max_vcpus, settings.max_vcpus)
    if vcpus > 0 and use.vcpus + vcpus > most:
        yield BadRequest(
            f"This account may have {most} vCPUs, and its servers have {use.vcpus} now. Choose a smaller plan, "
            f"delete a server, {MORE}"
        )
    most = _limit(account.creates_an_hour, settings.creates_an_hour)
    if servers > 0 and use.creates_last_hour + servers > most:
        yield BadRequest(f"This account may create {most} servers in 60 minutes. Wait a while, {MORE}")


def _limit(own: int | None, general: int) -> int:
    return general if own is None else own
