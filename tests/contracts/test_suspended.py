"""Of a suspended account's servers nothing can be moved, and the refusal says why and what to do."""

from typing import Any

import pytest

from factories import World
from openvps.compute.servers.suspension import enforce

pytestmark = pytest.mark.anyio

NO_CREDIT = "UPDATE account SET unpaid_at = now() WHERE id = :a"
BY_OPERATOR = "UPDATE account SET suspended_at = now(), suspended_reason = 'abuse report 17' WHERE id = :a"
ENDED = "UPDATE account SET unpaid_at = NULL, suspended_at = NULL WHERE id = :a"


@pytest.mark.parametrize(("suspend", "why"), [(NO_CREDIT, "Add credit"), (BY_OPERATOR, "abuse report 17")])
async def test_whatever_would_move_a_suspended_server_is_refused_with_the_reason(
    world: World, suspend: str, why: str
) -> None:
    client = await world.a_client()
    one, other = await world.a_server(client), await world.a_server(client, name="web-2")
    snapshot, backup = await world.a_snapshot(client, one), await world.a_backup(client, other)
    requests: list[tuple[str, dict[str, Any] | None]] = [
        *((f"/servers/{one}/{verb}/", None) for verb in ("start", "stop", "reboot", "reset-password")),
        *((f"/servers/{one}/power/", {"action": act}) for act in ("start", "stop", "restart", "hard_stop")),
        (f"/servers/{one}/resize/", {"plan": 1}),
        (f"/servers/{other}/rebuild/", {"os_id": 3}),
        (f"/servers/{one}/snapshot/", {}),
        ("/snapshots/", {"server_id": one, "name": "after"}),
        (f"/snapshots/{snapshot}/restore/", None),
        (f"/servers/{other}/backup/", {}),
        ("/backups/", {"server_id": other}),
        (f"/backups/{backup}/restore/", None),
    ]
    await world.sql(suspend, a=client.account_id)
    for followed in (0, 2):  # at once, and when the servers have followed
        assert not followed or await enforce(world.database) == followed
        for path, body in requests:
            refused = await client("POST", path, body)
            assert (refused.status_code, why in refused.text) == (400, True), (path, body, refused.text)
    rows = await world.sql("SELECT status, wanted FROM server")
    assert rows == [("suspended", "running")] * 2
    assert (await client("GET", f"/servers/{one}/")).json()["status"] == "suspended"
    await world.sql(ENDED, a=client.account_id)
    assert await enforce(world.database) == 2
    assert await world.sql("SELECT status FROM server") == [("starting",)] * 2
