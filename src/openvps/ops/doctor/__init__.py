"""`openvps doctor`: what this machine can do, and what to do about what it can't.

Each check is a function that looks and returns a Finding; nothing on the machine is changed. What can only be known
by trying is tried: a program boots in a virtual machine, and packets meet a limit.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openvps.core import settings
from openvps.core.settings import Settings
from openvps.ops.doctor import bandwidth, cells, engine, host, network, vms
from openvps.ops.doctor.finding import Finding

Check = Callable[[Settings], Finding]

CHECKS: tuple[Check, ...] = (
    *(engine.daemon, engine.lxcfs, engine.storage, vms.virtual_machines, cells.remote_cells),
    *(network.mode, network.forwarding, network.firewall, network.resolvers, network.port, bandwidth.limits),
    *(host.disk, host.memory, host.subordinate_ids, host.kernel_limits, host.processes, host.cgroups, host.clock),
)
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def main(output: Literal["text", "json"] = "text") -> int:
    """Look and tell; 1 if something must be done before servers run well, 0 if nothing must."""
    config = settings.load()
    findings = [look(check, config) for check in CHECKS]
    if output == "json":
        print(json.dumps([asdict(one) for one in findings], indent=2))  # noqa: T201 -- the command's result
    else:
        Console().print(table(findings))
    return int(any(one.status == "fail" for one in findings))


def table(findings: list[Finding]) -> Table:
    """Return the findings for a person."""
    shown = Table(box=None, pad_edge=False)
    for name in ("", "CHECK", "SEEN", "WHAT TO DO"):
        shown.add_column(name, overflow="fold")
    for one in findings:
        words = (escape(text) for text in (one.name, one.seen, one.advice))
        shown.add_row(f"[{COLOURS[one.status]}]{one.status}[/]", *words)
    return shown


def look(check: Check, config: Settings) -> Finding:
    """Run a check; one that can't look is a finding too."""
    try:
        return check(config)
    except Exception as error:  # noqa: BLE001 -- a doctor doesn't faint: the other checks are still wanted
        return Finding(check.__name__.replace("_", " "), "warn", f"couldn't be seen: {error}")
