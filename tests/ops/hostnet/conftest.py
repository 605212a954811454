"""A town for each mode: a host with our rules, its internet, and two servers, made once for a file of tests."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from town import Server, Site, Town, World, remove, spec

from lab import Lab
from openvps.engine.incus import open_engine
from openvps.engine.protocol import Engine
from openvps.ops import hostnet
from patience import until


@pytest.fixture(scope="module")
def nat_town(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Generator[Town]:
    with a_town("nat", lab, tmp_path_factory.mktemp("nat")) as town:
        yield town


@pytest.fixture(scope="module")
def routed_town(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Generator[Town]:
    with a_town("routed", lab, tmp_path_factory.mktemp("routed")) as town:
        yield town


@contextlib.contextmanager
def a_town(mode: str, lab: Lab, folder: Path) -> Generator[Town]:
    site = Site()
    settings, world, key = site.settings(mode), World(site), folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    v6 = settings.ipv6_pool
    assert v6 is not None
    servers = [
        Server(f"{mode}{site.number}-{nth}", str(settings.ipv4_pool[nth]), str(v6[nth]), key) for nth in (1, 2)
    ]
    with contextlib.ExitStack() as end:
        end.callback(world.clear)
        world.make()
        end.callback(hostnet.remove, settings, site.name)
        hostnet.apply(settings, site.name)
        for nth, server in enumerate(servers, 1):
            with_engine(lab, lambda engine, name=server.name: remove(engine, name))
            wanted = spec(settings, server, lab.image, nth)
            end.callback(with_engine, lab, lambda engine, name=server.name: remove(engine, name))
            with_engine(lab, lambda engine, wanted=wanted: engine.create(wanted))
        for server in servers:
            until_login(server)
        yield Town(settings, world, servers[0], servers[1])


def with_engine(lab: Lab, work: Callable[[Engine], Awaitable[Any]]) -> None:
    """Do something with the engine until it isn't busy any more."""

    async def main() -> None:
        engine = open_engine(Path(lab.socket), lab.project, lab.pool)
        try:
            await until(lambda: work(engine))
        finally:
            await engine.close()

    asyncio.run(main())


def until_login(server: Server) -> None:
    end = time.monotonic() + 30
    while subprocess.run(server.ssh("true"), capture_output=True, check=False, timeout=30).returncode:
        assert time.monotonic() < end, f"no login at {server.ipv4}"
        time.sleep(0.1)
