"""A host of another cell, from nothing: prepared by one command, added by the line that it prints."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from customer import Customer
from far import openvps

from lab import STATE, Lab

pytestmark = pytest.mark.live


def test_a_prepared_host_is_added_by_the_line_it_prints_and_carries_a_server(lab: Lab) -> None:
    customer = Customer(lab)
    theirs = json.loads((Path(os.environ[STATE]) / "env.json").read_text())
    port = 20000 + (int(theirs["OPENVPS_LISTEN"].rpartition(":")[2]) + 1) % 10000
    folder = Path(tempfile.mkdtemp(prefix="openvps-test-host-", dir="/var/lib"))
    folder.chmod(0o755)
    changed = {
        "DATA_DIR": str(folder / "data"),
        "PROJECT": f"{theirs['OPENVPS_PROJECT']}-h",
        "NIC_PREFIX": f"{theirs['OPENVPS_NIC_PREFIX'][:3]}h"[-4:],
        "IPV4_POOL": f"10.{192 + port % 32}.{port // 64 % 64 * 4}.0/24",
        "STORAGE_SIZE_GB": "6",
        "LOCATION_CODE": "prepared",
        "NAMESERVERS": "192.0.2.53",
    }
    env = {**os.environ, **theirs, **{f"OPENVPS_{name}": value for name, value in changed.items()}}
    program = str(Path(sys.executable).parent / "openvps")
    try:
        prepared = subprocess.run(
            [program, "host", "prepare", f"127.0.0.1:{port}", "--name", "prepared"],
            env=env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert prepared.returncode == 0, prepared.stderr
        added = openvps(*shlex.split(prepared.stdout)[1:])
        assert added.returncode == 0, added.stderr
        server = customer.until(customer.create(location="prepared")["id"], "active", 60)
        assert customer.ssh(server, "cat /etc/resolv.conf").split() == ["nameserver", "192.0.2.53"]
        seen = {one["name"]: one for one in json.loads(openvps("doctor", "-o", "json").stdout)}
        assert seen["remote cells"]["status"] == "ok"
        customer.clear()
        assert openvps("cell", "remove", "prepared").returncode == 0
    finally:
        subprocess.run([program, "down", "--purge", "--yes"], env=env, check=True, stdin=subprocess.DEVNULL)
        shutil.rmtree(folder)
