"""The api process at rest sleeps, and ends as soon as it is told to."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from openvps.ops import serve

PROGRAM = """
import sys
import uvicorn
from fastapi import FastAPI
from openvps.ops import serve

class Feeds:
    def end(self): pass

app = FastAPI()
app.state.feeds = Feeds()
serve.TICK_S = float(sys.argv[2])
serve.Server(uvicorn.Config(app, port=int(sys.argv[1]), loop="uvloop", log_config=None), app).run()
"""


@contextmanager
def serving(tick_s: float) -> Generator[subprocess.Popen[bytes]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(port), str(tick_s)])
    try:
        end = time.monotonic() + 30
        while not _answers(port):
            assert time.monotonic() < end
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as there:
        return there.connect_ex(("127.0.0.1", port)) == 0


def _woken(process: subprocess.Popen[bytes]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_at_rest_it_looks_once_a_second() -> None:
    with serving(serve.TICK_S) as process:
        time.sleep(0.5)
        before = _woken(process)
        time.sleep(3)
        assert _woken(process) - before < 12  # uvicorn by itself: over 30


def test_it_ends_when_told_and_not_at_its_next_look() -> None:
    with serving(3600) as process:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
