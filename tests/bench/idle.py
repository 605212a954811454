"""What OpenVPS itself costs while its servers do nothing: CPU and memory of api, worker and PostgreSQL.

The engine's daemon would run without us; it, the console process, which waits for somebody to open a terminal, and
`openvps up`, which waits for the others to end, are shown beside the sum.
CPU time of children that ended counts with their parents', so what came and went in between isn't lost.
"""

import os
import time
from collections import defaultdict
from pathlib import Path

from account import Account
from processes import Process, listener, of, pss_mb, tree
from tables import say, table

import lab as whole

OURS = ("api", "worker", "PostgreSQL")
AT_ONCE = 5
ACTIVE_S = 180
SETTLE_S = 60
MAX_PSS_MB, MAX_CPU_PERCENT = 300, 1.0


def run(lab: whole.Lab, *, servers: int, minutes: float, sample_s: int) -> bool:
    """Make the servers, wait, measure and print; returns whether the targets are met."""
    account = Account(lab)
    up = int((Path(os.environ[whole.STATE]) / "pid").read_text())
    engine = listener(lab.socket)
    try:
        fill(account, servers)
        say(f"{servers} servers are active; quiet for {SETTLE_S} s, then {minutes:g} minutes")
        time.sleep(SETTLE_S)
        before, beside_before = tree(up), (of(up), of(engine))
        began, load = time.monotonic(), os.getloadavg()[0]
        time.sleep(minutes * 60)
        seconds = time.monotonic() - began
        after, beside_after = tree(up), (of(up), of(engine))
        active = account.rows("SELECT count(*) FROM server WHERE status = 'active'")[0][0]
        say(f"{active} servers active, a sample every {sample_s} s, {seconds:.0f} s, load {load:.2f} at the start\n")
        return report(before, after, seconds, zip(("openvps up", "engine"), beside_before, beside_after, strict=True))
    finally:
        account.clear()


def fill(account: Account, servers: int) -> None:
    """Make servers of the smallest plan, a few at once, until all are active."""
    for first in range(0, servers, AT_ONCE):
        made = [account.create(f"idle-{number}") for number in range(first, min(first + AT_ONCE, servers))]
        for server in made:
            account.until_active(server, ACTIVE_S)


def report(
    before: list[Process],
    after: list[Process],
    seconds: float,
    beside: "zip[tuple[str, Process | None, Process | None]]",
) -> bool:
    """Print the table by kind; returns whether the sums stay below what is promised."""
    cpu: dict[str, float] = defaultdict(float)
    for sign, processes in ((1, after), (-1, before)):
        for one in processes:
            cpu[one.kind] += sign * (one.own_s + one.reaped_s) / seconds * 100
    pss: dict[str, float] = defaultdict(float)
    count: dict[str, int] = defaultdict(int)
    for one in after:
        pss[one.kind] += pss_mb(one.pid)
        count[one.kind] += 1
    all_cpu, all_pss = (sum(of_kind[kind] for kind in OURS) for of_kind in (cpu, pss))

    def row(kind: str, name: str) -> list[str]:
        return [name, str(count[kind]), f"{cpu[kind]:.2f}", f"{pss[kind]:.1f}"]

    rows = [row(kind, kind) for kind in OURS]
    rows.append(["**together**", str(sum(count[kind] for kind in OURS)), f"**{all_cpu:.2f}**", f"**{all_pss:.1f}**"])
    rows += [row(kind, f"{kind} (beside)") for kind in sorted({*cpu} - {*OURS})]
    for name, old, new in beside:
        if old and new:
            own = (new.own_s - old.own_s) / seconds * 100
            rows.append([f"{name} (beside)", "1", f"{own:.2f}", f"{pss_mb(new.pid):.1f}"])
    say(table(["", "processes", "CPU, % of a core", "PSS, MB"], rows))
    met = all_pss <= MAX_PSS_MB and all_cpu <= MAX_CPU_PERCENT
    say(f"\ntargets: {MAX_PSS_MB} MB, {MAX_CPU_PERCENT:g} %: {'met' if met else 'MISSED'}")
    return met
