"""The API of the chosen context, for one command."""

from collections.abc import Generator
from contextlib import contextmanager

from openvps.cli import contexts
from openvps.cli.exits import talk
from openvps.client import Client, Endpoint


def _tell(reason: str, seconds: float) -> None:
    talk(
        f"openvps: {reason}; trying again in {seconds:.0f} s" if seconds >= 1 else f"openvps: {reason}; trying again"
    )


@contextmanager
def calling() -> Generator[Client]:
    """Lend the API's client."""
    _, context = contexts.chosen()
    with Client(
        context.url, context.token, endpoint=Endpoint(retries=3, first_pause_s=0.3, on_pause=_tell)
    ) as client:
        yield client
