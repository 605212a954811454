"""Snapshots and backups: the two kinds of copies of a server's disk."""

import contextlib
from typing import Any, TypeVar

from openvps.client.calls import Call, Pages, Reference, Steps
from openvps.client.errors import Failed, NotFound
from openvps.client.models import (
    Backup,
    CreatedBackup,
    CreatedSnapshot,
    Restoring,
    RestoringBackup,
    Snapshot,
    Verifying,
)
from openvps.client.operation import M, Resource, listing, operation
from openvps.client.sending import answer, send
from openvps.client.servers import PAGE_SIZE
from openvps.client.waiting import DEFAULT_S, Patience, Watch, action_done, on_the_way, server_settled, until

C = TypeVar("C", CreatedSnapshot, CreatedBackup)
R = TypeVar("R", Restoring, RestoringBackup)


class Snapshots(Resource[M]):
    """Snapshots: kept where the server is, and deleted with it."""

    @listing
    def list(self, *, server_id: Reference | None = None) -> Pages[Snapshot]:
        """List snapshots, newest first."""
        return Pages(Call("GET", "/snapshots/", {"server_id": server_id, "page_size": PAGE_SIZE}), Snapshot)

    @operation
    def get(self, snapshot_id: Reference) -> Steps[Snapshot]:
        """Return one snapshot."""
        return answer(self.endpoint, Call("GET", f"/snapshots/{snapshot_id}/"), Snapshot)

    @operation
    def create(
        self,
        server_id: Reference,
        name: str,
        *,
        description: str = "",
        wait: bool = False,
        timeout_s: float = DEFAULT_S,
        watch: Watch | None = None,
    ) -> Steps[CreatedSnapshot]:
        """Keep a server's disk as it is now."""
        body = {"server_id": server_id, "name": name, "description": description}
        call = Call("POST", "/snapshots/", body=body)
        return _copied(self, call, CreatedSnapshot, Snapshot, Patience(timeout_s, watch), wait=wait)

    @operation
    def restore(
        self, snapshot_id: Reference, *, wait: bool = False, timeout_s: float = DEFAULT_S, watch: Watch | None = None
    ) -> Steps[Restoring]:
        """Put a server's disk back to what the snapshot has; what is newer is lost."""
        return _restored(self, f"/snapshots/{snapshot_id}/restore/", Restoring, Patience(timeout_s, watch), wait=wait)

    @operation
    def delete(self, snapshot_id: Reference) -> Steps[None]:
        """Delete a snapshot."""
        yield from send(self.endpoint, Call("DELETE", f"/snapshots/{snapshot_id}/"))


class Backups(Resource[M]):
    """Backups: kept in a store of their own, and outlive their server."""

    @listing
    def list(self, *, server_id: Reference | None = None, backup_type: str | None = None) -> Pages[Backup]:
        """List backups, newest first; `backup_type` is `manual` or `automatic`."""
        query = {"server_id": server_id, "backup_type": backup_type, "page_size": PAGE_SIZE}
        return Pages(Call("GET", "/backups/", query), Backup)

    @operation
    def get(self, backup_id: Reference) -> Steps[Backup]:
        """Return one backup."""
        return answer(self.endpoint, Call("GET", f"/backups/{backup_id}/"), Backup)

    @operation
    def create(
        self,
        server_id: Reference,
        *,
        description: str = "",
        wait: bool = False,
        timeout_s: float = DEFAULT_S,
        watch: Watch | None = None,
    ) -> Steps[CreatedBackup]:
        """Copy a server's disk into the store."""
        call = Call("POST", "/backups/", body={"server_id": server_id, "description": description})
        return _copied(self, call, CreatedBackup, Backup, Patience(timeout_s, watch), wait=wait)

    @operation
    def restore(
        self, backup_id: Reference, *, wait: bool = False, timeout_s: float = DEFAULT_S, watch: Watch | None = None
    ) -> Steps[RestoringBackup]:
        """Put a backup over its server; what is newer is lost."""
        return _restored(
            self, f"/backups/{backup_id}/restore/", RestoringBackup, Patience(timeout_s, watch), wait=wait
        )

    @operation
    def verify(
        self, backup_id: Reference, *, wait: bool = False, timeout_s: float = DEFAULT_S, watch: Watch | None = None
    ) -> Steps[Verifying]:
        """Prove that a backup can be restored; waited for, what was found is on it."""
        told = yield from answer(self.endpoint, Call("POST", f"/backups/{backup_id}/verify/"), Verifying)
        if not wait:
            return told
        yield from action_done(self.endpoint, told.action_id, Patience(timeout_s, watch), f"backup {told.id}")
        found = yield from answer(self.endpoint, Call("GET", f"/backups/{told.id}/"), Backup)
        return Verifying.model_validate({**told.model_dump(), **found.model_dump()})

    @operation
    def delete(self, backup_id: Reference) -> Steps[None]:
        """Delete a backup."""
        yield from send(self.endpoint, Call("DELETE", f"/backups/{backup_id}/"))


def _copied(
    of: Resource[Any],
    call: Call,
    form: type[C],
    kind: type[Snapshot] | type[Backup],
    patience: Patience,
    *,
    wait: bool,
) -> Steps[C]:
    made = yield from answer(of.endpoint, call, form)
    if not wait:
        return made
    what, path = f"{kind.__name__.lower()} {made.id}", f"{call.path}{made.id}/"
    if made.action_id is not None:
        with contextlib.suppress(NotFound):  # an API without actions
            yield from action_done(of.endpoint, made.action_id, patience, what)
    done = yield from until(
        of.endpoint, path, kind, lambda one: not on_the_way(one.status), patience=patience, what=what
    )
    if done.status != "completed":
        raise Failed(what, done.error or done.status)
    return form.model_validate({**made.model_dump(), **done.model_dump()})


def _restored(of: Resource[Any], path: str, form: type[R], patience: Patience, *, wait: bool) -> Steps[R]:
    told = yield from answer(of.endpoint, Call("POST", path), form)
    if not wait:
        return told
    settled = yield from server_settled(of.endpoint, told.server.id, told.action_id, patience)
    return form.model_validate(
        {**told.model_dump(), "server": {"id": settled.id, "name": settled.name, "status": settled.status}}
    )
