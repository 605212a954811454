"""The pool of the running OpenVPS: its quotas are counted anew when the kernel lost count."""

import subprocess
from pathlib import Path

import pytest
from customer import Customer

from openvps.ops import btrfs_quota

pytestmark = pytest.mark.live


def test_a_count_that_the_kernel_lost_is_made_good_while_it_runs(customer: Customer) -> None:
    customer.until(customer.create()["id"], "active")  # shares its image's data, so that joining it loses count
    mount = Path(customer.lab.socket).parent / "storage-pools" / customer.lab.pool
    machine = mount / "containers" / f"{customer.lab.project}_vps-{customer.made[0]}"

    def btrfs(*words: str) -> str:
        return subprocess.run(["btrfs", *words], check=True, capture_output=True, text=True).stdout

    def counted() -> int:
        return (Path(customer.lab.data_dir).parent / "up.log").read_text().count("counted anew")

    number, before = btrfs("inspect-internal", "rootid", str(machine)).strip(), counted()
    btrfs("qgroup", "create", "1/77", str(mount))
    btrfs("qgroup", "assign", "--no-rescan", f"0/{number}", "1/77", str(mount))
    try:
        customer.eventually(lambda: counted() > before and not btrfs_quota.inconsistent(mount), timeout_s=20)
    finally:
        btrfs("qgroup", "remove", "--no-rescan", f"0/{number}", "1/77", str(mount))
        btrfs("qgroup", "destroy", "1/77", str(mount))
