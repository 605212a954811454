"""Our certificate: one an installation, with which remote cells know our worker.

One for all cells, not one each: the keys would lie side by side for the same user, so a second one guards nothing
that the first one doesn't; each cell still trusts it by itself and can stop doing so (`incus config trust remove`).
"""

import shutil
import tempfile
from pathlib import Path

from openvps.core.settings import Settings
from openvps.engine.incus.reach import own_files
from openvps.ops.machine import WORKER_USER, ensure_users
from openvps.ops.run import run

DAYS = 3650  # as Incus's own; its trust is in the key's fingerprint, whatever the date


def ensure(config: Settings) -> tuple[Path, Path]:
    """Make certificate and key where they are missing, and return both files.

    Worker and console process read the key, nobody else.
    """
    ensure_users()
    certificate, key = own_files(config)
    folder = certificate.parent
    folder.mkdir(mode=0o750, exist_ok=True)
    shutil.chown(folder, "root", WORKER_USER)
    folder.chmod(0o750)
    if certificate.exists() and key.exists():
        return certificate, key
    with tempfile.TemporaryDirectory(dir=folder) as fresh:  # root's alone
        made = Path(fresh)
        run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1", "-nodes"),
                *("-subj", f"/CN={config.project}", "-days", str(DAYS)),
                *("-keyout", str(made / key.name), "-out", str(made / certificate.name)),
            ]
        )
        shutil.chown(made / key.name, WORKER_USER, WORKER_USER)
        (made / key.name).chmod(0o440)  # and the console process, which is in the worker's group for it
        (made / certificate.name).chmod(0o644)
        (made / key.name).rename(key)
        (made / certificate.name).rename(certificate)  # last: both there is both of one pair
    return certificate, key
