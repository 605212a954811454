"""Our processes, real ones: who they are, what they may, and that they end."""

import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from openvps.core.settings import Settings
from openvps.ops.machine import API_USER, WORKER_USER
from openvps.ops.processes import Child, Program, alive
from openvps.ops.supervisor import Supervisor

NET_ADMIN = 1 << 12


def a_program(*argv: str, **changes: Any) -> Program:
    return replace(Program("one", argv, API_USER), **changes)


def logs(settings: Settings) -> Path:
    return settings.data_dir / "log"


def status(child: Child) -> dict[str, str]:
    deadline = time.monotonic() + 10
    while "Uid" not in (text := child.log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_a_child_is_its_user_with_nothing_more(settings: Settings) -> None:
    child = Child(a_program("cat", "/proc/self/status"), logs(settings))
    child.start()
    seen = status(child)
    child.stop()
    assert "0" not in seen["Uid"].split()
    assert "0" not in seen["Groups"].split()
    for kind in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(seen[kind], 16) == 0
    assert seen["NoNewPrivs"] == "1"


def test_the_worker_has_one_capability(settings: Settings) -> None:
    child = Child(a_program("cat", "/proc/self/status", user=WORKER_USER, capabilities=["net_admin"]), logs(settings))
    child.start()
    seen = status(child)
    for kind in ("CapEff", "CapBnd", "CapAmb"):
        assert int(seen[kind], 16) == NET_ADMIN
    child.stop()


def test_nothing_of_our_environment_is_passed_on(settings: Settings) -> None:
    child = Child(a_program("env", environment={"OPENVPS_PROJECT": "x"}), logs(settings))
    child.start()
    while child.running:
        time.sleep(0.01)
    names = {line.split("=")[0] for line in child.log.read_text().splitlines()}
    assert names == {"PATH", "HOME", "LANG", "OPENVPS_PROJECT"}


def test_a_child_that_will_not_end_is_killed(settings: Settings) -> None:
    child = Child(
        a_program("sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done", stop_s=0.3), logs(settings)
    )
    child.start()
    while "up" not in child.log.read_text():
        time.sleep(0.01)
    child.stop()
    assert child.code == -signal.SIGKILL


def test_a_child_that_dies_is_shown_and_started_again(settings: Settings) -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    child = Child(a_program("sh", "-c", "echo the reason; exit 3"), logs(settings))
    supervisor.add(child)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background was born deaf to it
    timer = threading.Timer(2, signal.raise_signal, [signal.SIGINT])
    timer.start()
    try:
        supervisor.watch()
    except KeyboardInterrupt:
        supervisor.stop(hard=lambda: False)
    timer.join()
    assert "one ended with code 3; again in 1 s" in said[0]
    assert "the reason" in said[0]
    assert child.log.read_text().count("the reason") == 2


def test_a_killed_parent_takes_its_children_along(settings: Settings) -> None:
    program = (
        "import sys, time; from pathlib import Path; from openvps.ops.processes import Child, Program; "
        "child = Child(Program('one', ['sleep', '60'], 'openvps-api'), Path(sys.argv[1])); child.start(); "
        "print(child.pid, flush=True); time.sleep(60)"
    )
    argv = [sys.executable, "-c", program, str(logs(settings))]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        while Path(f"/proc/{pid}/comm").read_text().strip() != "sleep":
            time.sleep(0.01)
        parent.kill()
    deadline = time.monotonic() + 5
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
