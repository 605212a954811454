"""`openvps service`: api, worker and console under systemd, several of the first two."""

from typing import Annotated

from cyclopts import App, Parameter

from openvps.ops.commands.arguments import Output

Apis = Annotated[int, Parameter(help="how many api processes; each has a port of its own, from OPENVPS_LISTEN's on")]
Workers = Annotated[int, Parameter(help="how many worker processes")]

app = App(name="service")


@app.command
def install(*, apis: Apis = 1, workers: Workers = 1) -> int:
    """Prepare this machine as `up` does, write systemd's units, and start them; as root.

    For an installation on a PostgreSQL of its own (OPENVPS_DATABASE_URL). Give it again after an upgrade or a change
    of the settings.
    """
    from openvps.ops import service

    return service.install(apis=apis, workers=workers)


@app.command
def prepare() -> int:
    """Do what must be done as root before the others start; the unit openvps-prepare does it at boot."""
    from openvps.ops import service

    return service.prepare()


@app.command
def uninstall() -> int:
    """End and remove the units; servers, database and data stay."""
    from openvps.ops import service

    return service.uninstall()


@app.command
def status(*, output: Output = "text") -> int:
    """Say which of the units run; exit code 3 if one doesn't."""
    from openvps.ops import service

    return service.status(output)
