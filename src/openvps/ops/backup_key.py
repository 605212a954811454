"""The key of the store of backups: made once, read by the worker alone."""

import os
import secrets
import shutil

from openvps.compute.backups import store
from openvps.core.settings import Settings
from openvps.ops.machine import WORKER_USER, ensure_users

KEY_BYTES = 32


def ensure(config: Settings) -> bool:
    """Make the worker's folder and the key where they are missing; returns whether the key is new."""
    ensure_users()
    folder = store.folder(config)
    folder.mkdir(mode=0o700, exist_ok=True)
    shutil.chown(folder, WORKER_USER, WORKER_USER)
    key = folder / "key"
    if key.exists():
        return False
    fresh = folder / "key.new"
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    shutil.chown(fresh, WORKER_USER, WORKER_USER)
    fresh.rename(key)
    return True
