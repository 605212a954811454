"""`script/bench`: measurements on a whole OpenVPS of its own, which is purged at the end, also after Ctrl-C.

They are no tests: numbers depend on the machine and on what else it does. The exit code says whether the targets
were met. `systemd` is none of them but a slow proof, on a machine of its own. With OPENVPS_TEST_STATE set to a folder
where a lab runs, that one is measured; OPENVPS_TEST_KEEP_LAB leaves it running.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import api
import backup
import clusters
import command_line
import console
import create
import event_streams
import fault_matrix
import idle
import lists
import live_on_a_cluster
import metering
import power_cut
import prometheus
import service
import soak
import steps
import systemd
import take_up
import upgrade
from tables import say

import lab as whole

BILLING_S = "60"  # the product's own interval, as of samples, where the live tests have shorter ones


def main() -> int:
    """Start a lab, measure, end it; returns 0 where the targets were met."""
    asked = _arguments()
    for one in (signal.SIGTERM, signal.SIGINT):  # also in the background, where a shell has the second ignored
        signal.signal(one, signal.default_int_handler)  # so that what follows `finally` is done
    alone = _alone(asked)
    if alone is not None:
        try:
            return 0 if alone() else 1
        except KeyboardInterrupt:
            return 130
    state = Path(os.environ.setdefault(whole.STATE, tempfile.mkdtemp(prefix="openvps-bench-")))
    try:
        say("starting an OpenVPS of our own; the image is built on the way")
        lab = whole.lab(**_settings(asked))
        met = _measure(lab, asked)
    except KeyboardInterrupt:
        return 130
    finally:
        if "OPENVPS_TEST_KEEP_LAB" not in os.environ:
            whole.end(state)
            shutil.rmtree(state)
    return 0 if met else 1


def _settings(asked: argparse.Namespace) -> dict[str, str]:
    if asked.bench == "live-on-a-cluster":
        return {}  # those of the live tests
    intervals = {"SAMPLE_INTERVAL_S": str(asked.sample), "BILLING_INTERVAL_S": BILLING_S}
    return {**intervals, "METRICS_LISTEN": prometheus.METRICS}


def _alone(asked: argparse.Namespace) -> Callable[[], bool] | None:
    """Return what needs no lab: it has processes, PostgreSQL and engine of its own."""
    alone: dict[str, Callable[[], bool]] = {
        "systemd": systemd.prove,
        "service": service.prove,
        "upgrade": lambda: upgrade.prove(asked.revision),
        "cli": lambda: command_line.run(rounds=asked.rounds),
        "streams": lambda: event_streams.run(streams=asked.streams),
        "console": console.run,
        "lists": lambda: lists.run(servers=asked.servers),
        "metering": lambda: metering.run(servers=asked.servers, sampled=asked.sampled),
        "faults": lambda: fault_matrix.run(quick=asked.quick),
        "steps": lambda: steps.run(asked.steps),
        "cluster": clusters.run,
        "soak": lambda: _soak(asked),
        "take-up": lambda: take_up.run(rounds=asked.rounds),
    }
    if asked.bench == "api" and asked.alone:
        return lambda: api.run(None, quick=asked.quick)
    return alone.get(asked.bench)


def _soak(asked: argparse.Namespace) -> bool:
    runs = {"real": [False], "simulated": [True]}.get(asked.only, [False, True])
    met = [soak.run(rate=asked.rate, seconds=asked.seconds, simulated=one) for one in runs]  # both in any case
    return all(met)


def _measure(lab: whole.Lab, asked: argparse.Namespace) -> bool:
    measured: dict[str, Callable[[], bool]] = {
        "create": lambda: create.run(lab, rounds=asked.rounds, together=asked.together),
        "backup": lambda: backup.run(lab, rounds=asked.rounds, proof=asked.proof),
        "api": lambda: api.run(lab, quick=asked.quick),
        "prometheus": lambda: prometheus.run(lab),
        "power-cut": lambda: power_cut.run(lab),
        "live-on-a-cluster": lambda: live_on_a_cluster.run(lab),
        "idle": lambda: idle.run(lab, servers=asked.servers, minutes=asked.minutes, sample_s=asked.sample),
    }
    return measured[asked.bench]()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/bench", description="Measure OpenVPS on this machine.")
    parser.add_argument("--sample", type=int, default=30, help="seconds between samples of usage (30)")
    benches = parser.add_subparsers(dest="bench", required=True)
    one = benches.add_parser("create", help="from asking for a server to a login, beside a plain Incus client")
    one.add_argument("--rounds", type=int, default=12, help="of each, alone (12)")
    one.add_argument("--together", type=int, default=8, help="how many at once, in a quarter as many rounds (8)")
    two = benches.add_parser("idle", help="CPU and memory of our processes while servers do nothing")
    two.add_argument("--servers", type=int, default=50)
    two.add_argument("--minutes", type=float, default=10)
    three = benches.add_parser("api", help="what answers cost, beside Incus's list and a Django REST framework app")
    three.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    three.add_argument("--alone", action="store_true", help="without a lab, and so without Incus beside")
    benches.add_parser("console", help="the console's first page of an account with 100 servers: size and time")
    four = benches.add_parser("lists", help="the list of an account with 100 servers, and with 100,000")
    four.add_argument("--servers", type=int, default=100_000)
    five = benches.add_parser("metering", help="the hourly charge of 100,000 servers, and the samples of 10,000")
    five.add_argument("--servers", type=int, default=100_000, help="that are charged (100000)")
    five.add_argument("--sampled", type=int, default=10_000, help="that are sampled, in one cell (10000)")
    six = benches.add_parser("faults", help="workers and apis killed at every commit, a failing engine")
    six.add_argument("--quick", action="store_true", help="the first two commits of each goal only")
    seven = benches.add_parser("soak", help="two apis and two workers under load, one of each killed on the way")
    seven.add_argument("--rate", type=float, default=200, help="requests a second (200)")
    seven.add_argument("--seconds", type=float, default=60)
    seven.add_argument("--only", choices=["real", "simulated"], help="one of the two runs")
    taken = benches.add_parser("take-up", help="how soon a killed worker's jobs are taken up by another one")
    taken.add_argument("--rounds", type=int, default=20, help="kills (20)")
    eight = benches.add_parser("steps", help="random operations against a model, on a simulated engine that fails")
    eight.add_argument("--steps", type=int, default=10_000)
    benches.add_parser("cluster", help="prove a cluster of three as a cell: members killed, quorum lost and back")
    benches.add_parser("live-on-a-cluster", help="run the live tests of servers on a cell that is a cluster of three")
    six = benches.add_parser("backup", help="a backup beside a plain `incus export`, by its bytes and its memory")
    six.add_argument("--rounds", type=int, default=3, help="of each (3)")
    six.add_argument("--proof", action="store_true", help="prove the last one, too")
    benches.add_parser("prometheus", help="alerts and dashboard, read and evaluated by Prometheus itself")
    benches.add_parser("power-cut", help="everything killed at once and started again: each server returns by itself")
    benches.add_parser("systemd", help="prove script/up on a Debian 12 with systemd, in a container of its own")
    benches.add_parser(
        "service", help="prove openvps service on a Debian 12 with systemd: two apis, two workers, killed"
    )
    eight = benches.add_parser("upgrade", help="prove an upgrade with live servers from an older revision, and back")
    eight.add_argument("revision", nargs="?", help="a tag or commit (the newest tag, or before the last migration)")
    nine = benches.add_parser("streams", help="so many event streams at once on one api process")
    nine.add_argument("--streams", type=int, default=1000)
    last = benches.add_parser("cli", help="how long a customer's command takes, beside an empty Python")
    last.add_argument("--rounds", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
