"""`openvps server start` and what else a server goes through: each waits until it is done."""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from openvps.cli import ask, names
from openvps.cli.arguments import DEFAULT_TIMEOUT_S, NoWait, Server, Timeout, WholeServer, Yes
from openvps.cli.exits import talk

if TYPE_CHECKING:
    from collections.abc import Callable

    from openvps.client import Client

Hard = Annotated[bool, Parameter(negative="", help="cut the power at once, which also ends what is under way")]
NewPlan = Annotated[str, Parameter(help="the plan: its id, slug or name", completer=names.plans)]
NewSystem = Annotated[str, Parameter(help="the operating system: its id, slug or name", completer=names.systems)]


def start(server: Server, *, no_wait: NoWait = False, timeout: Timeout = DEFAULT_TIMEOUT_S) -> None:
    """Power on a stopped server."""
    _order(server, "start", no_wait=no_wait, timeout=timeout)


def stop(
    server: Server, *, hard: Hard = False, no_wait: NoWait = False, timeout: Timeout = DEFAULT_TIMEOUT_S
) -> None:
    """Shut a running server down; it costs what it did."""
    _order(server, "hard_stop" if hard else "stop", no_wait=no_wait, timeout=timeout)


def reboot(server: Server, *, no_wait: NoWait = False, timeout: Timeout = DEFAULT_TIMEOUT_S) -> None:
    """Restart a running server."""
    _order(server, "reboot", no_wait=no_wait, timeout=timeout)


def resize(server: Server, plan: NewPlan, *, no_wait: NoWait = False, timeout: Timeout = DEFAULT_TIMEOUT_S) -> None:
    """Give a server another plan; where it has to be restarted for that, it says so. Disks don't shrink."""
    from openvps.cli import find

    _order(server, "resize", lambda client: [find.plan(client, plan)], no_wait=no_wait, timeout=timeout)


def rebuild(
    server: WholeServer,
    *,
    system: NewSystem,
    yes: Yes = False,
    no_wait: NoWait = False,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
) -> None:
    """Install an operating system anew: all data is lost; addresses, name, plan and SSH keys stay."""
    from openvps.cli import find
    from openvps.cli.calling import calling
    from openvps.cli.progress import waiting
    from openvps.cli.server_access import forget_host_key

    with calling() as client:
        found = find.server(client, server, whole=True)
        os_id = find.system(client, system)
        ask.confirmed(f"Install {system} on {found.name} anew? All its data will be lost.", yes=yes)
        if no_wait:
            talk(client.servers.rebuild(found.id, os_id).message)
        else:
            with waiting(found.name, f"openvps server show {found.name} --wait", last="ready") as progress:
                client.servers.rebuild(found.id, os_id, wait=True, timeout_s=timeout, watch=progress)
        forget_host_key(found)


def retry(server: Server, *, no_wait: NoWait = False, timeout: Timeout = DEFAULT_TIMEOUT_S) -> None:
    """Try again to make a server that couldn't be made; it gets the addresses it was promised."""
    _order(server, "retry", no_wait=no_wait, timeout=timeout, last="ready")


def _order(
    server: str,
    verb: str,
    more: "Callable[[Client], list[Any]]" = lambda _client: [],
    *,
    no_wait: bool,
    timeout: float,
    last: str = "done",
) -> None:
    """Order something of a server by the client's method of that name, and wait for it."""
    from openvps.cli import find
    from openvps.cli.calling import calling
    from openvps.cli.progress import waiting

    with calling() as client:
        found = find.server(client, server)
        order, arguments = getattr(client.servers, verb), [found.id, *more(client)]
        if no_wait:
            talk(f"{found.name}: {order(*arguments).message}")
            return
        with waiting(found.name, f"openvps server show {found.name} --wait", last=last) as progress:
            order(*arguments, wait=True, timeout_s=timeout, watch=progress)
