"""What a restored machine is: its disk as it was, and all else from its spec."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from workshop import Workshop

from lab import Lab
from openvps.engine.incus.client import Client
from openvps.engine.protocol import Missing
from patience import until

pytestmark = [pytest.mark.live, pytest.mark.anyio]


@pytest.fixture
async def incus(lab: Lab) -> AsyncGenerator[Client]:
    """Return the engine as its operator has it."""
    client = Client(lab.project, socket=Path(lab.socket))
    yield client
    await client.close()


async def restored(workshop: Workshop, spec: Any) -> None:
    await until(lambda: workshop.engine.kill(spec.name))
    await until(lambda: workshop.engine.restore(spec.name, "snap-1"))
    await until(lambda: workshop.engine.renew(spec.name, spec))


async def test_a_disk_is_as_it_was_and_the_rest_from_the_spec(workshop: Workshop) -> None:
    spec = await workshop.a_machine(marks={"server": "7"})
    engine = workshop.engine
    await engine.run(spec.name, ["touch", "/before"])
    made = await until(lambda: engine.snapshot(spec.name, "snap-1"))
    assert (await until(lambda: engine.snapshot(spec.name, "snap-1"))).name == made.name  # twice is no harm
    await engine.run(spec.name, ["touch", "/after"])
    larger = workshop.a_spec(
        name=spec.name, nic=spec.nic, addresses=spec.addresses, memory_mib=192, storage_gb=2, hostname="other"
    )
    await until(lambda: engine.configure(spec.name, larger))
    await restored(workshop, larger)
    await until(lambda: engine.start(spec.name))
    machine = await engine.look(spec.name)
    assert machine is not None
    assert (machine.memory_mib, machine.storage_gb, machine.hostname, machine.marks) == (192, 2, "other", {})
    assert await engine.run(spec.name, ["test", "-e", "/before"]) == 0
    assert await engine.run(spec.name, ["test", "-e", "/after"]) != 0


async def test_planted_keys_in_a_snapshots_config_have_no_effect(workshop: Workshop, incus: Client) -> None:
    spec = await workshop.a_machine()
    engine, path = workshop.engine, f"/1.0/instances/{spec.name}"
    await until(lambda: engine.kill(spec.name))
    planted = {
        "security.privileged": "true",
        "security.nesting": "true",
        "raw.idmap": "both 0 0",
        "user.planted": "1",
    }
    host = {"type": "disk", "source": "/etc", "path": "/host"}
    await incus.run("PATCH", path, json={"config": planted, "devices": {"host": host}})
    await until(lambda: engine.snapshot(spec.name, "snap-1"))
    await until(lambda: engine.configure(spec.name, spec))
    await restored(workshop, spec)
    await until(lambda: engine.start(spec.name))
    instance = await incus.get(path)
    assert set(instance["devices"]) == {"root", "eth0"}
    assert instance["config"]["security.privileged"] == "false"
    assert instance["config"]["security.nesting"] == "false"
    assert not {"raw.idmap", "user.planted"} & set(instance["config"])
    assert await engine.run(spec.name, ["test", "-e", "/host/passwd"]) != 0
    mapped = "read inside outside most < /proc/self/uid_map; [ $outside -ge 65536 ]"
    assert await engine.run(spec.name, ["sh", "-c", mapped]) == 0


async def test_a_restored_machine_shares_its_uid_map_with_nobody(workshop: Workshop, incus: Client) -> None:
    spec = await workshop.a_machine()
    await until(lambda: workshop.engine.snapshot(spec.name, "snap-1"))
    others = [await workshop.a_machine() for _ in range(3)]  # one of them has what the snapshot's record was given
    await restored(workshop, spec)
    await until(lambda: workshop.engine.start(spec.name))
    every = await incus.get("/1.0/instances", recursion="1")
    bases = [one["config"]["volatile.idmap.base"] for one in every]
    assert len(others) < len(bases) == len(set(bases))


async def test_a_machine_that_ran_when_its_snapshot_was_taken_stays_off_at_the_hosts_boot(
    workshop: Workshop, incus: Client
) -> None:
    spec = await workshop.a_machine()
    await until(lambda: workshop.engine.snapshot(spec.name, "snap-1"))
    await restored(workshop, spec)
    assert (await incus.get(f"/1.0/instances/{spec.name}"))["config"]["volatile.last_state.power"] == "STOPPED"


async def test_a_snapshot_that_is_not_there_is_missing_and_deleting_it_success(workshop: Workshop) -> None:
    spec = await workshop.a_machine()
    await until(lambda: workshop.engine.kill(spec.name))
    with pytest.raises(Missing):
        await until(lambda: workshop.engine.restore(spec.name, "snap-9"))
    await until(lambda: workshop.engine.delete_snapshot(spec.name, "snap-9"))
    await until(lambda: workshop.engine.delete_snapshot("engnone", "snap-9"))
