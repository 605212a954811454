"""The simulated engine and a real one do the same, and are seen to be the same."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from workshop import NUMBERS, Workshop, until_true

from openvps.engine.protocol import Engine, EngineError, MachineSpec
from patience import until
from simulated import Simulated

pytestmark = [pytest.mark.live, pytest.mark.anyio]


async def _life(engine: Engine, spec: MachineSpec) -> list[object]:
    """Lead a machine through everything that converge asks for; returns what was seen on the way."""
    seen: list[object] = []

    async def see(what: Callable[[], Awaitable[object]]) -> None:
        try:
            result = await until(what)
        except EngineError as error:
            result = type(error).__name__
        machine = await until(lambda: engine.look(spec.name))
        seen.append((result, replace(machine, name="", disk_used_bytes=None) if machine else None))

    async def is_off() -> bool:
        machine = await until(lambda: engine.look(spec.name))
        return machine is not None and machine.status == "stopped"

    await see(lambda: engine.start(spec.name))
    await see(lambda: engine.create(spec))
    await see(lambda: engine.create(spec))
    await see(lambda: engine.run(spec.name, ["touch", "/mine"]))
    await see(lambda: engine.read_file(spec.name, "/root/.ssh/authorized_keys"))
    await see(lambda: engine.read_file(spec.name, "/none"))
    await see(lambda: engine.mark(spec.name, "reboots", "1"))
    await see(lambda: engine.configure(spec.name, replace(spec, memory_mib=192, storage_gb=2, hostname="other")))
    await until(lambda: engine.stop(spec.name, 10))
    await until_true(is_off)
    await see(lambda: engine.kill(spec.name))
    await see(lambda: engine.run(spec.name, ["touch", "/late"]))
    await see(lambda: engine.restore(spec.name, "none"))
    await until(lambda: engine.snapshot(spec.name, "kept"))
    await see(lambda: engine.mark(spec.name, "restoring", "1"))
    await see(lambda: engine.mark(spec.name, "reboots", "2"))
    await see(lambda: engine.configure(spec.name, replace(spec, memory_mib=96)))
    await see(lambda: engine.restore(spec.name, "kept"))
    await see(lambda: engine.renew(spec.name, replace(spec, storage_gb=2, marks={"restores": "1"})))
    await see(lambda: engine.rebuild(spec.name, spec.image))
    await see(lambda: engine.delete_snapshot(spec.name, "kept"))
    await see(lambda: engine.mark(spec.name, "restoring", "2"))
    await see(lambda: engine.rebuild(spec.name, spec.image))
    await see(lambda: engine.rebuild(spec.name, "f" * 64))
    await see(lambda: engine.start(spec.name))
    await see(lambda: engine.start(spec.name))
    await see(lambda: engine.run(spec.name, ["test", "-e", "/mine"]))
    await see(lambda: engine.delete(spec.name))
    await see(lambda: engine.kill(spec.name))
    await see(lambda: engine.delete(spec.name))
    await see(lambda: engine.delete(spec.name))
    return seen


async def test_the_simulated_engine_is_seen_as_the_real_one_is(workshop: Workshop, tmp_path: Path) -> None:
    keys = ["ssh-ed25519 AAAA"]
    real = await _life(workshop.engine, workshop.a_spec(hostname="one", authorized_keys=keys))
    simulated = Simulated(takes_s=0.01)
    image = await simulated.add_image(tmp_path)
    spec = MachineSpec(f"eng{next(NUMBERS)}", image, 1, 128, 1, "one", ("127.79.0.1",), "eng", authorized_keys=keys)
    same = await _life(simulated, spec)
    await simulated.close()
    assert len(real) == len(same)
    assert [pair for pair in zip(range(len(real)), real, same, strict=True) if pair[1] != pair[2]] == []
