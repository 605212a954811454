"""Who looks at a server that is rebooted from inside finds it off, for a moment: that is no shutdown."""

import asyncio

import pytest
from stage import PATIENCE_S, Stage

from openvps.compute.servers import watch
from openvps.compute.servers.names import machine_name
from openvps.engine.protocol import Machine

pytestmark = [pytest.mark.anyio, pytest.mark.live]

REBOOTS = 20  # for how often it may be on again before it is seen


async def looked_at_when_off(stage: Stage, number: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Look at a server's cell as soon as it is off, and return whether it was, to the look."""
    name, machines, seen = machine_name(number), stage.real.machines, list[str]()

    async def seeing() -> list[Machine]:
        found = [one for one in await machines() if one.name == name]
        seen.append(found[0].status)
        return found

    monkeypatch.setattr(stage.engine, "machines", seeing)
    async with asyncio.timeout(PATIENCE_S):
        while "stopped" not in seen:
            await seeing()
    seen.clear()
    await watch.look_at_cell(stage.context(), stage.world.cell_id)
    return seen[0] == "stopped"


async def test_a_reboot_from_inside_is_not_taken_for_a_shutdown(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await stage.a_server("active")
    for _ in range(REBOOTS):
        await stage.real.run(machine_name(number), ["reboot"])
        if await looked_at_when_off(stage, number, monkeypatch):
            break
    else:
        pytest.fail("it was never seen off")
    assert await stage.world.sql("SELECT status, wanted, look_at FROM server") == [("active", "running", None)]
    await stage.agree(number, "active")


async def test_a_shutdown_from_inside_that_no_event_told_is_seen_by_a_look(stage: Stage) -> None:
    number = await stage.a_server("active")
    await stage.real.run(machine_name(number), ["poweroff"])
    async with asyncio.timeout(PATIENCE_S):
        while await stage.status(number) == "active":
            await watch.look_at_cell(stage.context(), stage.world.cell_id)
    assert await stage.world.sql("SELECT status, wanted, look_at FROM server") == [("stopped", "stopped", None)]
    await stage.agree(number, "stopped")
