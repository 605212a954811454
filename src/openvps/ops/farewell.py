"""What `openvps up` says when it has ended: at whose wish, and which servers go on without it."""

import contextlib
from collections.abc import Generator
from pathlib import Path

from openvps.core.settings import Settings
from openvps.ops import incus_daemon, incus_project
from openvps.ops.incus_rest import IncusFailed

ENGINE_S = 3.0  # nobody waits longer for a last word


@contextlib.contextmanager
def for_down(config: Settings) -> Generator[None]:
    """Have an `up` that ends meanwhile know that `openvps down` ends it, which deals with the servers next."""
    _mark(config).touch()
    try:
        yield
    finally:
        forget(config)


def forget(config: Settings) -> None:
    """Forget a `down` that was killed on its way."""
    _mark(config).unlink(missing_ok=True)


def words(config: Settings) -> str:
    """Return the last word: nothing is promised of servers that `down` is about to stop, or that aren't there."""
    if _mark(config).exists():
        return "OpenVPS has ended: openvps down goes on"
    names: list[str] | None = None
    with contextlib.suppress(IncusFailed):
        if daemon := incus_daemon.find(config, timeout_s=ENGINE_S):
            names = incus_project.running(daemon.socket, config, timeout_s=ENGINE_S)
    if names is None:
        return "OpenVPS has ended; servers, if there are any, keep running (openvps down stops them)"
    if not names:
        return "OpenVPS has ended; no server runs"
    return f"OpenVPS has ended; servers keep running: {len(names)} (openvps down stops them)"


def _mark(config: Settings) -> Path:
    return config.data_dir / "ended-by-down"
