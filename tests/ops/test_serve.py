"""The api process at rest sleeps, and ends as soon as it is told to."""

import sys
import time
from pathlib import Path

from openvps.ops import serve
from running import Running, free_port, listens

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


def serving(folder: Path, tick_s: float) -> Running:
    """Return an api of nothing, once it takes connections."""
    port = free_port()
    process = Running([sys.executable, "-c", PROGRAM, str(port), str(tick_s)], folder / "log").start()
    listens(process, port)
    return process


def _woken(process: Running) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_at_rest_it_looks_once_a_second(tmp_path: Path) -> None:
    process = serving(tmp_path, serve.TICK_S)
    time.sleep(0.5)
    before = _woken(process)
    time.sleep(3)
    assert _woken(process) - before < 12  # uvicorn by itself: over 30
    process.kill()


def test_it_ends_when_told_and_not_at_its_next_look(tmp_path: Path) -> None:
    serving(tmp_path, 3600).end(within_s=60)
