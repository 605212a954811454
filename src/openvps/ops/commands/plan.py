"""`openvps plan`: what servers are sold by; customers read it over the API, an operator changes it on the host."""

from typing import Annotated, Literal

from cyclopts import App, Parameter

from openvps.cli import catalogue
from openvps.cli.arguments import Columns
from openvps.cli.arguments import Output as Form
from openvps.ops.commands.arguments import HOST, Output

Plan = Annotated[str, Parameter(help="the plan: its number or slug, as `openvps plan list` names it")]
Slug = Annotated[str, Parameter(help="a short name for commands and addresses, like large-vps")]
PlanName = Annotated[str, Parameter(help="the name that customers see")]
NewName = Annotated[str | None, Parameter(help="the name that customers see")]
Kind = Annotated[Literal["container", "vm"], Parameter(help="what its servers are")]
Vcpus = Annotated[int, Parameter(help="vCPUs of a server")]
MemoryMib = Annotated[int, Parameter(help="memory of a server, in MiB")]
StorageGb = Annotated[int, Parameter(help="disk of a server, in GB")]
BandwidthGb = Annotated[int, Parameter(help="traffic included, in GB a month")]
Price = Annotated[str, Parameter(help="price of a month, in the currency, like 10 or 7.50")]
NewPrice = Annotated[str | None, Parameter(help="price of a month, in the currency, like 10 or 7.50")]
Description = Annotated[str, Parameter(help="what it is for")]
NewDescription = Annotated[str | None, Parameter(help="what it is for")]
ApplyToExisting = Annotated[
    bool, Parameter(negative="", help="give its servers its price, from the next hour of each on")
]

Retired = Annotated[
    bool, Parameter(negative="", help="on the host, as root: all plans, also those not sold any more")
]

app = App(name="plan")


app.command(catalogue.show_plan, name="show")


@app.command(name="list")
def list_plans(
    *,
    location: catalogue.InLocation = None,
    retired: Retired = False,
    columns: Columns = "",
    output: Form = "table",
) -> int | None:
    """List plans with their prices."""
    if not retired:
        return catalogue.list_plans(location=location, columns=columns, output=output)
    from openvps.ops import plans

    return plans.list_("json" if output == "json" else "text")


@app.command(name="add", group=HOST)
def add_plan(
    slug: Slug,
    *,
    name: PlanName,
    vcpus: Vcpus,
    memory_mib: MemoryMib,
    storage_gb: StorageGb,
    bandwidth_gb: BandwidthGb,
    price: Price,
    kind: Kind = "container",
    description: Description = "",
    output: Output = "text",
) -> int:
    """Offer a new plan."""
    from openvps.ops import plans

    return plans.add(
        slug,
        output,
        name=name,
        kind=kind,
        vcpus=vcpus,
        memory_mib=memory_mib,
        storage_gb=storage_gb,
        bandwidth_gb=bandwidth_gb,
        price=price,
        description=description,
    )


@app.command(name="edit", group=HOST)
def edit_plan(
    plan: Plan,
    *,
    name: NewName = None,
    price: NewPrice = None,
    description: NewDescription = None,
    apply_to_existing: ApplyToExisting = False,
    output: Output = "text",
) -> int:
    """Change a plan's name, price or description for new servers; those there are keep their price."""
    from openvps.ops import plans

    return plans.edit(
        plan, output, name=name, price=price, description=description, apply_to_existing=apply_to_existing
    )


@app.command(name="retire", group=HOST)
def retire_plan(plan: Plan, *, output: Output = "text") -> int:
    """Take a plan out of the offer; servers that have it keep it and its price."""
    from openvps.ops import plans

    return plans.retire(plan, output)
