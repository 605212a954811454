"""Makes machines for tests of the engine, and waits as converge would."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, TypeVar

from openvps.engine.protocol import Engine, Machine, MachineSpec
from patience import until
from pytest_process import NUMBER, OF

T = TypeVar("T")

NUMBERS = count(10 + NUMBER, OF)  # each process's own on the daemon that they share, however many it takes


@dataclass
class Workshop:
    """Makes machines for a test, waits for them, and clears them away."""

    engine: Engine
    image: str
    made: list[str] = field(default_factory=list[str])

    def a_spec(self, **changes: Any) -> MachineSpec:
        """Return a small machine's spec with a name, addresses and NIC of its own."""
        number = next(NUMBERS)
        spec = MachineSpec(
            name=f"eng{number}",
            image=self.image,
            vcpus=1,
            memory_mib=128,
            storage_gb=1,
            hostname=f"eng{number}",
            addresses=(f"10.79.{4 + number // 200}.{1 + number % 200}", f"fd79::{number}"),
            nic=f"eng{number}",
        )
        self.made.append(spec.name)
        return replace(spec, **changes)

    async def a_machine(self, **changes: Any) -> MachineSpec:
        """Make a machine and return its spec, once it runs."""
        spec = self.a_spec(**changes)
        await until(lambda: self.engine.create(spec))
        return spec

    async def until_status(self, name: str, status: str, timeout_s: float = 20) -> Machine:
        """Look until the machine has `status`."""

        async def looked() -> Machine | None:
            machine = await self.engine.look(name)
            return machine if machine and machine.status == status else None

        machine = await until_true(looked, timeout_s)
        assert machine
        return machine

    async def clear(self) -> None:
        """Remove what was made."""
        for name in self.made:
            if await until(lambda name=name: self.engine.look(name)) is not None:
                await until(lambda name=name: self.engine.kill(name))
                await until(lambda name=name: self.engine.delete(name))


async def until_true(look: Callable[[], Awaitable[T | None]], timeout_s: float = 20) -> T:
    """Look again until there is something to see."""
    end = time.monotonic() + timeout_s
    while not (seen := await until(look)):
        assert time.monotonic() < end, f"not seen within {timeout_s} s"
        await asyncio.sleep(0.05)
    return seen


async def on_host(*argv: str) -> str:
    """Run a program on this host and return what it printed."""
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    assert process.returncode == 0, f"{argv} ended with {process.returncode}"
    return printed.decode()
