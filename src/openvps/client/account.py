"""Who calls: the account, its SSH keys and tokens, what it pays, and what is under way for it."""

from collections.abc import Sequence

from openvps.client.calls import Call, Pages, Reference, Steps
from openvps.client.models import (
    Action,
    AuditEntry,
    Invoice,
    InvoiceSummary,
    LedgerEntry,
    MadeToken,
    Me,
    Notice,
    SshKey,
    Token,
    Usage,
)
from openvps.client.operation import M, Resource, listing, operation
from openvps.client.sending import answer, send
from openvps.client.servers import PAGE_SIZE
from openvps.client.waiting import DEFAULT_S, Patience, Watch, action_done


class Account(Resource[M]):
    """The account that the token is of."""

    @operation
    def get(self) -> Steps[Me]:
        """Return the account and the token in use."""
        return answer(self.endpoint, Call("GET", "/account/me/"), Me)

    @listing
    def audit(self) -> Pages[AuditEntry]:
        """List who did what to what, newest first. OpenVPS only."""
        return Pages(Call("GET", "/account/audit/", {"page_size": PAGE_SIZE}), AuditEntry)

    @listing
    def notices(self) -> Pages[Notice]:
        """List what the account was told, newest first. OpenVPS only."""
        return Pages(Call("GET", "/account/notices/", {"page_size": PAGE_SIZE}), Notice)


class Metering(Resource[M]):
    """What was charged and paid. OpenVPS only."""

    @operation
    def usage(self) -> Steps[Usage]:
        """Return what this month costs so far, and will."""
        return answer(self.endpoint, Call("GET", "/account/usage/"), Usage)

    @listing
    def ledger(self, *, month: str | None = None) -> Pages[LedgerEntry]:
        """List ledger entries, newest first; `month` is like 2026-11."""
        return Pages(Call("GET", "/account/ledger/", {"month": month, "page_size": PAGE_SIZE}), LedgerEntry)

    @listing
    def invoices(self) -> Pages[InvoiceSummary]:
        """List invoices, newest first."""
        return Pages(Call("GET", "/account/invoices/", {"page_size": PAGE_SIZE}), InvoiceSummary)

    @operation
    def invoice(self, invoice_id: str) -> Steps[Invoice]:
        """Return one invoice with its lines."""
        return answer(self.endpoint, Call("GET", f"/account/invoices/{invoice_id}/"), Invoice)


class SshKeys(Resource[M]):
    """The keys that open new servers."""

    @listing
    def list(self) -> Pages[SshKey]:
        """List keys, newest first."""
        return Pages(Call("GET", "/ssh-keys/", {"page_size": PAGE_SIZE}), SshKey)

    @operation
    def create(self, name: str, public_key: str) -> Steps[SshKey]:
        """Add a key: a line as in a .pub file."""
        return answer(
            self.endpoint, Call("POST", "/ssh-keys/", body={"name": name, "public_key": public_key}), SshKey
        )

    @operation
    def get(self, ssh_key_id: Reference) -> Steps[SshKey]:
        """Return one key."""
        return answer(self.endpoint, Call("GET", f"/ssh-keys/{ssh_key_id}/"), SshKey)

    @operation
    def delete(self, ssh_key_id: Reference) -> Steps[None]:
        """Forget a key; servers that have it keep it."""
        yield from send(self.endpoint, Call("DELETE", f"/ssh-keys/{ssh_key_id}/"))


class Tokens(Resource[M]):
    """What programs call in the account's name with. OpenVPS only."""

    @listing
    def list(self) -> Pages[Token]:
        """List tokens, newest first, without their texts."""
        return Pages(Call("GET", "/tokens/", {"page_size": PAGE_SIZE}), Token)

    @operation
    def create(self, name: str, permissions: Sequence[str], *, expires_at: str | None = None) -> Steps[MadeToken]:
        """Make a token; its text is in this answer only."""
        body = {"name": name, "permissions": [*permissions], "expires_at": expires_at}
        return answer(self.endpoint, Call("POST", "/tokens/", body=body), MadeToken)

    @operation
    def revoke(self, token_id: Reference) -> Steps[None]:
        """Revoke a token; it opens nothing any more."""
        yield from send(self.endpoint, Call("DELETE", f"/tokens/{token_id}/"))


class Actions(Resource[M]):
    """What was asked for and takes its time. OpenVPS only."""

    @operation
    def get(self, action_id: Reference) -> Steps[Action]:
        """Return one action: how far it is, and why it failed if it did."""
        return answer(self.endpoint, Call("GET", f"/actions/{action_id}/"), Action)

    @operation
    def done(
        self, action_id: Reference, *, timeout_s: float = DEFAULT_S, watch: Watch | None = None
    ) -> Steps[Action]:
        """Wait until it is done. Raises Failed with its reason."""
        return action_done(self.endpoint, action_id, Patience(timeout_s, watch), f"action {action_id}")
