"""`openvps plan`, `system` and `location`: what a server can be made of."""

from typing import Annotated

from cyclopts import App, Parameter

from openvps.cli import names
from openvps.cli.arguments import Columns, Output
from openvps.cli.output import Table

InLocation = Annotated[
    str | None, Parameter(help="only what can be had there: a location's code", completer=names.locations)
]
WhichPlan = Annotated[str, Parameter(help="the plan: its id, slug or name", completer=names.plans)]

PLAN = Table(
    {
        "id": lambda one: one.id,
        "slug": lambda one: one.slug,
        "name": lambda one: one.name,
        "kind": lambda one: one.kind,
        "vcpus": lambda one: one.vcpus,
        "memory": lambda one: f"{one.memory} MiB",
        "storage": lambda one: f"{one.storage} GB",
        "bandwidth": lambda one: f"{one.bandwidth} GB",
        "month": lambda one: f"{one.price_monthly:.2f}",
        "hour": lambda one: f"{one.price_hourly:.4f}",
        "available": lambda one: one.available,
        "locations": lambda one: one.locations,
        "description": lambda one: one.description,
    },
    ("id", "slug", "vcpus", "memory", "storage", "bandwidth", "month", "available"),
    lambda one: one.slug,
)
SYSTEM = Table(
    {
        "id": lambda one: one.id or one.uuid,
        "slug": lambda one: one.slug,
        "name": lambda one: one.name,
        "available": lambda one: one.available,
    },
    ("id", "slug", "name", "available"),
    lambda one: one.slug or one.name,
)
LOCATION = Table(
    {
        "id": lambda one: one.id,
        "code": lambda one: one.code,
        "name": lambda one: one.name,
        "country": lambda one: one.country_name,
        "active": lambda one: one.is_active,
    },
    ("id", "code", "name", "country", "active"),
    lambda one: one.code or one.name,
)

systems = App(name="system")
locations = App(name="location")


def list_plans(*, location: InLocation = None, columns: Columns = "", output: Output = "table") -> None:
    """List plans with their prices."""
    from openvps.cli.calling import calling
    from openvps.cli.output import listed

    with calling() as client:
        print(listed(PLAN, list(client.plans.list(location=location)), output, columns), end="")


def show_plan(plan: WhichPlan, *, columns: Columns = "", output: Output = "table") -> None:
    """Show a plan."""
    from openvps.cli import find
    from openvps.cli.calling import calling
    from openvps.cli.output import shown

    with calling() as client:
        print(shown(PLAN, client.plans.get(find.plan(client, plan)), output, columns), end="")


@systems.command(name="list")
def list_systems(*, columns: Columns = "", output: Output = "table") -> None:
    """List operating systems; what isn't available has no image yet."""
    from openvps.cli import find
    from openvps.cli.calling import calling
    from openvps.cli.output import listed

    with calling() as client:
        print(listed(SYSTEM, find.versions(client), output, columns), end="")


@locations.command(name="list")
def list_locations(*, columns: Columns = "", output: Output = "table") -> None:
    """List the places where servers can be."""
    from openvps.cli.calling import calling
    from openvps.cli.output import listed

    with calling() as client:
        print(listed(LOCATION, list(client.locations.list()), output, columns), end="")
