"""`openvps cell`: cells on other machines."""

from typing import Annotated

from cyclopts import App, Parameter

from openvps.ops.commands.arguments import CellName, Output

Cell = Annotated[str, Parameter(help="the cell's name, as `openvps cell list` shows it")]
Members = Annotated[
    str, Parameter(help="https://HOST[:8443] of its daemon, or of several members of a cluster, separated by commas")
]
TrustToken = Annotated[
    str, Parameter(help="what `incus config trust add NAME` or `openvps host prepare` printed there")
]
NewTrustToken = Annotated[str | None, Parameter(help="a new one, where the cell shows another certificate now")]
LocationCode = Annotated[str, Parameter(help="code of its location")]
LocationName = Annotated[str | None, Parameter(help="of a location that isn't there yet: its name")]
CountryName = Annotated[str | None, Parameter(help="its country")]
CountryCode = Annotated[str | None, Parameter(help="its country, ISO 3166-1")]
Networks = Annotated[str, Parameter(help="the blocks for its servers, IPv4 and perhaps IPv6, separated by commas")]
Resolvers = Annotated[str, Parameter(help="addresses of the resolvers for its servers, separated by commas")]
Project = Annotated[str | None, Parameter(help="the Incus project; not given: OPENVPS_PROJECT")]
Pool = Annotated[str | None, Parameter(help="the storage pool; not given: named as the project")]
NicPrefix = Annotated[
    str | None, Parameter(help="what its servers' interfaces are named; not given: OPENVPS_NIC_PREFIX")
]
NicParent = Annotated[
    str | None, Parameter(help="routed mode: the uplink on which its hosts answer for the addresses")
]
Reason = Annotated[str, Parameter(help="why; operators see it")]
CreatesAtOnce = Annotated[int, Parameter(help="how many; 0: OPENVPS_CREATES_AT_ONCE")]

app = App(name="cell")


@app.command(name="add")
def add_cell(
    members: Members,
    *,
    trust_token: TrustToken,
    name: CellName,
    location: LocationCode,
    network: Networks,
    nameservers: Resolvers = "",
    project: Project = None,
    pool: Pool = None,
    nic_prefix: NicPrefix = None,
    nic_parent: NicParent = None,
    location_name: LocationName = None,
    country: CountryName = None,
    country_code: CountryCode = None,
) -> int:
    """Trust a daemon or cluster on other machines, and have servers made there too; as root."""
    from openvps.ops import cells

    wanted = cells.Wanted(
        members=members,
        trust_token=trust_token,
        networks=network,
        nameservers=nameservers,
        project=project,
        pool=pool,
        nic_prefix=nic_prefix,
        nic_parent=nic_parent,
    )
    return cells.add(name, wanted, cells.Place(location, location_name, country, country_code))


@app.command(name="list")
def list_cells(*, output: Output = "text") -> int:
    """List all cells."""
    from openvps.ops import cells

    return cells.list_(output)


@app.command(name="show")
def show_cell(cell: Cell, *, output: Output = "text") -> int:
    """Show a cell: how it is reached, its room, and since when it doesn't answer."""
    from openvps.ops import cells

    return cells.show(cell, output)


@app.command(name="edit")
def edit_cell(
    cell: Cell,
    *,
    members: Members = "",
    trust_token: NewTrustToken = None,
    nameservers: Resolvers = "",
    pool: Pool = None,
) -> int:
    """Change how a cell is reached, and look at its room and images again; what isn't named stays."""
    from openvps.ops import cells

    wanted = cells.Wanted(members=members, trust_token=trust_token, nameservers=nameservers, pool=pool)
    return cells.edit(cell, wanted)


@app.command(name="remove")
def remove_cell(cell: Cell) -> int:
    """Forget a cell that has no servers; what is on its hosts stays."""
    from openvps.ops import cells

    return cells.remove(cell)


@app.command(name="pause")
def pause_cell(cell: Cell, *, reason: Reason = "") -> int:
    """Have no new servers made in a cell; those that are there go on, resize and are deleted."""
    from openvps.ops import operations

    return operations.pause_cell(cell, reason)


@app.command(name="resume")
def resume_cell(cell: Cell) -> int:
    """Have new servers made in a cell again."""
    from openvps.ops import operations

    return operations.pause_cell(cell, None)


@app.command(name="limit")
def limit_cell(cell: Cell, creates_at_once: CreatesAtOnce) -> int:
    """Change how many servers are made in a cell at once; further ones wait for their turn."""
    from openvps.ops import operations

    return operations.limit_creates(cell, creates_at_once)
