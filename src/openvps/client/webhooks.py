"""Webhooks: where events are sent, and what became of them. OpenVPS only."""

from collections.abc import Sequence
from typing import Unpack

from openvps.client.bodies import ChangedWebhook
from openvps.client.calls import Call, Pages, Reference, Steps
from openvps.client.models import Delivery, MadeWebhook, Webhook
from openvps.client.operation import M, Resource, listing, operation
from openvps.client.sending import answer, send
from openvps.client.servers import PAGE_SIZE


class Webhooks(Resource[M]):
    """Addresses of the account's own to which events are sent, signed."""

    @listing
    def list(self) -> Pages[Webhook]:
        """List webhooks, newest first."""
        return Pages(Call("GET", "/webhooks/", {"page_size": PAGE_SIZE}), Webhook)

    @operation
    def get(self, webhook_id: Reference) -> Steps[Webhook]:
        """Return one webhook: whether it works, and whether it is enabled."""
        return answer(self.endpoint, Call("GET", f"/webhooks/{webhook_id}/"), Webhook)

    @operation
    def create(self, url: str, *, kinds: Sequence[str] = (), description: str = "") -> Steps[MadeWebhook]:
        """Have events sent to an address; the secret that verifies them is in this answer only."""
        body = {"url": url, "kinds": [*kinds], "description": description}
        return answer(self.endpoint, Call("POST", "/webhooks/", body=body), MadeWebhook)

    @operation
    def update(self, webhook_id: Reference, **fields: Unpack[ChangedWebhook]) -> Steps[Webhook]:
        """Change what is given, and nothing else."""
        return answer(self.endpoint, Call("PATCH", f"/webhooks/{webhook_id}/", body={**fields}), Webhook)

    @operation
    def delete(self, webhook_id: Reference) -> Steps[None]:
        """Delete a webhook, with what is still on its way to it."""
        yield from send(self.endpoint, Call("DELETE", f"/webhooks/{webhook_id}/"))

    @operation
    def rotate_secret(self, webhook_id: Reference, *, overlap_hours: int = 24) -> Steps[MadeWebhook]:
        """Make a new secret, in this answer only; the one before signs as well for so many hours."""
        call = Call("POST", f"/webhooks/{webhook_id}/rotate-secret/", body={"overlap_hours": overlap_hours})
        return answer(self.endpoint, call, MadeWebhook)

    @operation
    def probe(self, webhook_id: Reference) -> Steps[Delivery]:
        """Send a delivery that tells of nothing, to see whether the receiver takes it."""
        return answer(self.endpoint, Call("POST", f"/webhooks/{webhook_id}/probe/"), Delivery)

    @listing
    def deliveries(self, webhook_id: Reference, *, status: str | None = None) -> Pages[Delivery]:
        """List what was sent, or is to be, newest first; `status` is pending, delivered or failed."""
        query = {"status": status, "page_size": PAGE_SIZE}
        return Pages(Call("GET", f"/webhooks/{webhook_id}/deliveries/", query), Delivery)

    @operation
    def resend(self, delivery_id: Reference) -> Steps[Delivery]:
        """Send a delivery again, with the same message id, whatever became of it before."""
        return answer(self.endpoint, Call("POST", f"/webhook-deliveries/{delivery_id}/resend/"), Delivery)
