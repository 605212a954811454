"""Each step of each goal runs twice in a row, the second time on what the first one saw: nothing is done twice."""

from collections.abc import Awaitable, Callable

import pytest
from stage import Stage

from killed import on_its_way
from openvps.compute.servers import converge
from openvps.compute.servers.steps import Sight, Wait
from openvps.engine.protocol import Busy, EngineError

pytestmark = [pytest.mark.anyio, pytest.mark.live]

GOALS = {
    # goal: status before, status after
    "create": (None, "active"),
    "start": ("stopped", "active"),
    "stop": ("active", "stopped"),
    "reboot": ("active", "active"),
    "resize": ("active", "active"),
    "delete": ("active", None),
}


Step = Callable[[Sight], Awaitable[None]]


def twice(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return steps of which each does what one of `steps` does two times."""
    doubled: dict[Step, Step] = {}

    def double(step: Step) -> Step:
        async def runs(at: Sight) -> None:
            waiting: Exception | None = None
            try:
                await step(at)
            except (Wait, Busy) as first:
                waiting = first
            try:
                await step(at)
            except (Wait, EngineError) as second:  # what it saw is old by now: the engine may say so
                waiting = second if waiting is None else waiting
            if isinstance(waiting, Wait) and waiting.reached is not None:
                waiting.reached = doubled[waiting.reached]
            if waiting is not None:
                raise waiting

        return runs

    doubled |= {step: double(step) for step in steps}
    return tuple(doubled.values())


@pytest.mark.parametrize("goal", GOALS)
async def test_every_step_may_run_twice(stage: Stage, monkeypatch: pytest.MonkeyPatch, goal: str) -> None:
    before, after = GOALS[goal]
    number = await stage.a_server(before) if before else 0
    for wanted, steps in converge.GOALS.items():
        monkeypatch.setitem(converge.GOALS, wanted, twice(steps))
    stage.engine.calls.clear()
    server = await on_its_way(stage.customer, goal, number)
    if not number:
        stage.made.append(server)
    await stage.settle(server)
    assert await stage.status(server) == after
    assert await stage.world.sql("SELECT kind FROM action WHERE status <> 'completed'") == []
    assert await stage.unsound() == []
