"""An installation's settings with a data folder that service users can enter; gone when the test ends."""

import shutil
import tempfile
from collections.abc import Generator
from ipaddress import IPv4Network
from pathlib import Path
from secrets import token_hex

import pytest

from openvps.core.settings import Settings
from openvps.ops import hostnet, machine


@pytest.fixture
def settings() -> Generator[Settings]:
    folder = Path(tempfile.mkdtemp(prefix="openvps-"))  # pytest's own folders are closed to service users
    folder.chmod(0o755)
    # A project and a pool of its own: a purge takes firewall and routes away, and there may be real ones.
    made = Settings(
        data_dir=folder / "data",
        storage_size_gb=5,
        project=f"ops-{token_hex(4)}",
        ipv4_pool=IPv4Network("10.94.0.0/24"),
        nic_prefix="opst",
    )
    machine.ensure_users()
    machine.ensure_folders(made)
    yield made
    hostnet.remove(made, "")
    shutil.rmtree(folder, ignore_errors=True)
