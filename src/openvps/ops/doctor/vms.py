"""Virtual machines, proved by booting one: /dev/kvm may open, and even make a machine, without being usable (seen).

The probe is the smallest system there is: a boot sector that counts to 200 million, then ends QEMU with a code of its
own. Where /dev/kvm is itself emulated a boot sector does boot, and counting takes minutes.
"""

import platform
import shutil
import tempfile
import time
from pathlib import Path

from openvps.core.settings import Settings
from openvps.ops.doctor.finding import Finding
from openvps.ops.run import ProgramFailed, run

WITHIN_S = 20  # real hardware takes one
EXIT_CODE = 33  # isa-debug-exit: twice what was written, and one
COUNT = 200_000_000
BOOT_SECTOR = (  # mov ecx, COUNT; dec ecx; jnz; mov al, 16; out 0xf4, al; cli; hlt
    bytes.fromhex("66b9") + COUNT.to_bytes(4, "little") + bytes.fromhex("664975fc b010e6f4 faf4ebfd")
).ljust(510, b"\0") + b"\x55\xaa"
KIND = "virtual machines"


def virtual_machines(_config: Settings) -> Finding:
    """Say whether this machine can offer plans of the kind vm."""
    if missing := _missing():
        return Finding(KIND, "warn", f"not possible: {'; '.join(missing)}", "plans of kind vm are not offered here")
    took = boot("kvm")
    if took is None:
        return Finding(
            KIND,
            "warn",
            f"a probe didn't boot and count within {WITHIN_S} s",
            "enable (nested) virtualisation; see dmesg",
        )
    return Finding(KIND, "ok", f"a probe booted and counted in {took:.1f} s")


def boot(accelerator: str) -> float | None:
    """Boot the probe; returns the seconds it took, None if it didn't."""
    with tempfile.TemporaryDirectory(prefix="openvps-probe-") as folder:
        disk = Path(folder) / "disk"
        disk.write_bytes(BOOT_SECTOR)
        began = time.monotonic()
        try:
            run(command(accelerator, disk), timeout_s=WITHIN_S)
        except ProgramFailed as error:
            return time.monotonic() - began if error.code == EXIT_CODE else None
    return None


def command(accelerator: str, disk: Path) -> list[str]:
    """Return the QEMU command that boots `disk` and ends with EXIT_CODE if it ran."""
    return [
        *(_qemu() or "qemu-system-x86_64", "-accel", accelerator, "-m", "32", "-nodefaults", "-display", "none"),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-no-reboot"),
        *("-drive", f"file={disk},format=raw,if=ide,readonly=off"),
    ]


def _missing() -> list[str]:
    """Return what a virtual machine needs and isn't there."""
    needs = {
        "only x86-64 is probed": platform.machine() == "x86_64",
        "no /dev/kvm (no hardware virtualisation, or it is off in the firmware)": Path("/dev/kvm").exists(),
        "no vhost_vsock (modprobe vhost_vsock)": Path("/dev/vhost-vsock").exists(),
        "no QEMU (apt-get install qemu-system-x86 ovmf)": _qemu() is not None,
    }
    return [what for what, there in needs.items() if not there]


def _qemu() -> str | None:
    return shutil.which("qemu-system-x86_64") or shutil.which("kvm")
