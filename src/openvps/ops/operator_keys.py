"""The SSH keys of whoever started us: the first servers are theirs to log in to.

On a machine where that person has no key yet one is made for them in the data folder, so that the first server can be
logged in to as printed.
"""

import os
import pwd
import shutil
from pathlib import Path

from openvps.core.settings import Settings
from openvps.ops.run import run


def public_keys(config: Settings) -> dict[str, str]:
    """Return the public keys by name; under sudo those of who called it."""
    found = {file.stem: file.read_text().strip() for file in sorted((_caller_home() / ".ssh").glob("*.pub"))}
    return found or {"operator": _made(config).with_suffix(".pub").read_text().strip()}


def private_key(config: Settings) -> Path | None:
    """Return the private key that was made for the operator, None where they have their own."""
    return _file(config) if _file(config).exists() else None


def _caller_home() -> Path:
    caller = os.environ.get("SUDO_USER")
    return Path(pwd.getpwnam(caller).pw_dir) if caller else Path.home()


def _file(config: Settings) -> Path:
    return config.data_dir / "operator-key"


def _made(config: Settings) -> Path:
    """Make the key once; a start that is interrupted leaves all of it or nothing."""
    file = _file(config)
    if not file.exists():
        fresh = file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.with_suffix(".new.pub").unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", str(fresh)])
        fresh.with_suffix(".new.pub").rename(file.with_suffix(".pub"))
        if "SUDO_USER" in os.environ:
            shutil.chown(fresh, os.environ["SUDO_USER"])
        fresh.rename(file)
    return file
