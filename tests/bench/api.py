"""`script/bench api`: what answers cost, beside Incus's own list and a Django REST framework app on the same rows.

One api process with authentication and rate limit on, real PostgreSQL, 1, 8 and 32 clients; all sides in turns in one
run, medians over the rounds. Clients and servers share the machine: rates say less than CPU a request and ratios.
"""

import asyncio
import json
import statistics
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import peers
from api_process import Account, Api, running
from load import Result, Target, measure
from tables import say, table

from lab import Lab

ROWS = 100
CLIENTS = (1, 8, 32)
ONE_CPU_MS, OVER_INCUS, OVER_DRF = 2.5, 10, 3


def run(lab: Lab | None, *, quick: bool) -> bool:
    """Measure and print; returns whether the targets were met. Without a lab there is no Incus beside."""
    with running() as api:
        account, maker = api.account(ROWS), api.account()
        api.sql(
            "INSERT INTO usage SELECT id, now(), 1, 1, 1, 1.5, 100000000, 1000000000, to_char(now(), 'YYYY-MM'), 1, 1"
            " FROM server"
        )
        api.sql("VACUUM ANALYZE")
        with peers.django(api, account) as (port, pid, token):
            theirs = [
                _target("Django REST framework, 100 rows", port, pid, f"Token {token}", "/servers/?page_size=100")
            ]
            targets = [*_ours(api, account, maker), *theirs]
            if lab is None:
                return _report(_rounds(targets, quick=quick))
            with peers.instances(lab, ROWS) as daemon:
                path = f"/1.0/instances?recursion=1&project={lab.project}"
                request = f"GET {path} HTTP/1.1\r\nHost: incus\r\n\r\n".encode()
                connect: Callable[[], Any] = partial(asyncio.open_unix_connection, lab.socket, limit=1 << 24)
                targets.append(Target("Incus, recursion=1, 100 instances", connect, lambda: request, daemon))
                return _report(_rounds(targets, quick=quick))


def _ours(api: Api, account: Account, maker: Account) -> list[Target]:
    mine = partial(_target, port=api.port, pid=api.pid, authorization=f"Bearer {account.token}")
    with_ids = "/api/v1/servers/"
    numbers = count()

    def create() -> bytes:
        body = json.dumps({"name": f"made-{next(numbers)}", "plan_id": 3, "os_id": 3, "location": "us-west"})
        return (
            f"POST {with_ids} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {maker.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    one = f"{with_ids}{ROWS // 2}/"
    return [
        mine("OpenVPS, GET one", path=one),
        mine("OpenVPS, list, 20 rows", path=with_ids),
        mine("OpenVPS, list, 100 rows", path=f"{with_ids}?page_size=100"),
        Target("OpenVPS, POST create", _connect(api.port), create, api.pid, status=201),
    ]


def _connect(port: int) -> Callable[[], Any]:
    return partial(asyncio.open_connection, "127.0.0.1", port, limit=1 << 24)


def _target(name: str, port: int, pid: int, authorization: str, path: str) -> Target:
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: {authorization}\r\n\r\n".encode()
    return Target(name, _connect(port), lambda: request, pid)


def _rounds(targets: list[Target], *, quick: bool) -> dict[tuple[str, int], Result]:
    seen: dict[tuple[str, int], list[Result]] = {}
    for target in targets:
        measure(target, clients=1, seconds=0.5)  # isn't counted
    for number in range(2 if quick else 5):
        say(f"round {number + 1}")
        for clients in CLIENTS:
            for target in targets:
                result = measure(target, clients=clients, seconds=0.7 if quick else 3)
                seen.setdefault((target.name, clients), []).append(result)
    return {key: _median(results) for key, results in seen.items()}


def _median(results: list[Result]) -> Result:
    return Result(
        *(statistics.median(getattr(one, name) for one in results) for name in ("rate", "p50_ms", "p99_ms", "cpu_ms"))
    )


def _report(seen: dict[tuple[str, int], Result]) -> bool:
    rows = [
        [
            f"{name}, {clients} clients",
            *(f"{one:.2f}" for one in (r.p50_ms, r.p99_ms)),
            f"{r.rate:.0f}",
            f"{r.cpu_ms:.2f}",
        ]
        for (name, clients), r in sorted(seen.items())
    ]
    say(table(["", "p50, ms", "p99, ms", "requests/s", "CPU a request, ms"], rows))
    cpu = max(r.cpu_ms for (name, _), r in seen.items() if name.endswith("GET one"))
    say(f"\nGET one costs at most {cpu:.2f} ms of the process's CPU; target at most {ONE_CPU_MS}")
    met = cpu <= ONE_CPU_MS
    for peer, factor in (("Django", OVER_DRF), ("Incus", OVER_INCUS)):
        theirs = {clients: r.rate for (name, clients), r in seen.items() if name.startswith(peer)}
        ratios = [seen["OpenVPS, list, 100 rows", clients].rate / rate for clients, rate in theirs.items()]
        if ratios:
            shown = ", ".join(f"{one:.1f}" for one in ratios)
            say(f"100 rows beside {peer}, rates with {', '.join(map(str, theirs))} clients: {shown}; target {factor}")
            met = met and min(ratios) >= factor
    return met
