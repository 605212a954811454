"""A machine image of one program, busybox: a megabyte that boots in a moment, for tests of the engine alone.

It shuts down cleanly, unless `/ignore` exists: then its init never gets done.
"""

import io
import shutil
import tarfile
from pathlib import Path

import pytest

ARCHITECTURE = "x86_64"
METADATA = f"""
architecture: {ARCHITECTURE}
creation_date: 1700000000
properties: {{os: tiny, description: busybox for tests}}
templates:
  /etc/hostname: {{when: [start], template: hostname.tpl}}
  /root/.ssh/authorized_keys: {{when: [create], template: keys.tpl}}
"""
INITTAB = """
::sysinit:/bin/hostname -F /etc/hostname
::respawn:/bin/nc -l -p 22 -e /bin/echo SSH-2.0-tiny
::shutdown:/bin/sh -c 'test -e /ignore && sleep 1000'
"""
CHPASSWD = "#!/bin/sh\ncat > /root/told\n"  # busybox has none here; what it was told is what tests look at
TEXTS = {
    "metadata.yaml": METADATA,
    "templates/hostname.tpl": '{{ config_get("user.openvps.hostname", "tiny") }}\n',
    "templates/keys.tpl": '{{ config_get("user.openvps.authorized_keys", "") }}\n',
    "rootfs/etc/inittab": INITTAB,
    "rootfs/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "rootfs/etc/shadow": "root:*:19000:0:99999:7:::\n",
    "rootfs/etc/group": "root:x:0:\n",
}
FOLDERS = ("bin", "sbin", "etc", "dev", "proc", "sys", "tmp", "root", "run", "var", "root/.ssh")
PROGRAMS = """
    cat dd echo grep head hostname ln ls md5sum mkfifo nc nproc ping poweroff ps reboot rm seq sh sleep sync
    tail test touch tr true wc yes
""".split()


def build_tiny_image(file: Path, note: str = "", *, padding_mib: int = 0) -> None:
    """Write the image as a unified tarball; another note makes another image, and padding before it a slow one."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.fail("the tests need busybox: apt-get install busybox-static")
    with tarfile.open(file, "w") as tar:
        for name in ("templates", "rootfs", *(f"rootfs/{folder}" for folder in FOLDERS)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        if padding_mib:
            _add(tar, "rootfs/padding", bytes(padding_mib << 20), 0o644)
        for name, text in {**TEXTS, "rootfs/etc/note": note}.items():
            _add(tar, name, text.encode(), 0o644)
        _add(tar, "rootfs/bin/chpasswd", CHPASSWD.encode(), 0o755)
        _add(tar, "rootfs/bin/busybox", Path(busybox).read_bytes(), 0o755)
        for name in ("sbin/init", *(f"bin/{program}" for program in PROGRAMS)):
            entry = tarfile.TarInfo(f"rootfs/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "/bin/busybox"
            tar.addfile(entry)


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
