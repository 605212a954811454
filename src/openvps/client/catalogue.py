"""What a server can be made of: plans, operating systems, locations."""

from openvps.client.calls import Call, Pages, Reference, Steps
from openvps.client.models import Location, OperatingSystem, Plan
from openvps.client.operation import M, Resource, listing, operation
from openvps.client.sending import answer
from openvps.client.servers import PAGE_SIZE


class Plans(Resource[M]):
    """Sizes and prices."""

    @listing
    def list(self, *, location: str | None = None) -> Pages[Plan]:
        """List plans; with a location, those that can be had there."""
        return Pages(Call("GET", "/plans/", {"location": location, "page_size": PAGE_SIZE}), Plan)

    @operation
    def get(self, plan_id: Reference) -> Steps[Plan]:
        """Return one plan."""
        return answer(self.endpoint, Call("GET", f"/plans/{plan_id}/"), Plan)


class OperatingSystems(Resource[M]):
    """What can be installed."""

    @listing
    def list(self) -> Pages[OperatingSystem]:
        """List operating systems, each with its versions: their ids are what a server takes."""
        return Pages(Call("GET", "/operating-systems/", {"page_size": PAGE_SIZE}), OperatingSystem)


class Locations(Resource[M]):
    """Where servers can be."""

    @listing
    def list(self) -> Pages[Location]:
        """List locations."""
        return Pages(Call("GET", "/locations/", {"page_size": PAGE_SIZE}), Location)

    @operation
    def get(self, location_id: Reference) -> Steps[Location]:
        """Return one location."""
        return answer(self.endpoint, Call("GET", f"/locations/{location_id}/"), Location)
