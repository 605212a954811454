"""Faulty fails where it was told to: before the real engine acted, or after."""

import pytest
from workshop import Workshop

from openvps.engine.faulty import VERBS, Faulty
from openvps.engine.protocol import Away, Engine, EngineError

pytestmark = [pytest.mark.live, pytest.mark.anyio]


async def test_a_fault_before_leaves_the_engine_untouched(workshop: Workshop) -> None:
    faulty, spec = Faulty(workshop.engine), workshop.a_spec()
    faulty.fail("create")
    with pytest.raises(Away):
        await faulty.create(spec)
    assert await workshop.engine.look(spec.name) is None
    assert faulty.calls == {"create": 1}


async def test_a_fault_after_comes_when_the_work_is_done(workshop: Workshop) -> None:
    faulty, spec = Faulty(workshop.engine), workshop.a_spec()
    faulty.fail("create", before=False, error=EngineError("told to"))
    with pytest.raises(EngineError, match="told to"):
        await faulty.create(spec)
    machine = await faulty.look(spec.name)
    assert machine
    assert machine.status == "running"


async def test_a_fault_is_over_after_its_times(engine: Engine) -> None:
    faulty = Faulty(engine)
    faulty.fail("look", times=2)
    for _ in range(2):
        with pytest.raises(Away):
            await faulty.look("engnone")
    assert await faulty.look("engnone") is None
    assert faulty.calls["look"] == 3


async def test_events_break_where_they_were_told_to(engine: Engine) -> None:
    faulty = Faulty(engine)
    faulty.fail("events")
    with pytest.raises(Away):
        await anext(aiter(faulty.events()))


async def test_every_verb_of_the_protocols_can_fail(engine: Engine) -> None:
    faulty = Faulty(engine)
    for verb in VERBS:
        faulty.fail(verb)
        with pytest.raises(Away):
            await getattr(faulty, verb)()
    assert {"look", "create", "machines", "forget_address"} <= set(VERBS)
    with pytest.raises(ValueError, match="no such verb"):
        faulty.fail("levitate")
