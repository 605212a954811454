"""The command line of whoever started us knows the new API at once: a context with the first token, in their home.

It is written by our own command as that person: root writes nothing in a folder that is somebody else's.
"""

import contextlib
import os
import pwd
import sys

from openvps.core.settings import Settings
from openvps.ops import operator_keys
from openvps.ops.run import ProgramFailed, run

USUAL_PORT = 8080


def name(config: Settings) -> str:
    """Return what the context is called; several installations of a machine differ by their port."""
    return "local" if config.port == USUAL_PORT else f"local-{config.port}"


def keep(config: Settings, token: str) -> bool:
    """Keep a context for the caller; returns whether that went well, and nothing else depends on it."""
    key = operator_keys.private_key(config)
    identity = ["--identity", str(key)] if key else []
    url = f"{config.base_url}/api/v1"
    try:
        _as_caller(["context", "add", name(config), url, "--unchecked", *identity], stdin=token)
    except ProgramFailed:
        return False
    return True


def forget(config: Settings) -> None:
    """Remove the context, if it is there."""
    with contextlib.suppress(ProgramFailed):
        _as_caller(["context", "remove", name(config)])


def _as_caller(arguments: list[str], stdin: str = "") -> None:
    """Run our command as who called us. Raises ProgramFailed."""
    argv, env = [sys.executable, "-P", "-m", "openvps", *arguments], {}
    if caller := os.environ.get("SUDO_USER"):
        person = pwd.getpwnam(caller)
        ids = [f"--reuid={person.pw_uid}", f"--regid={person.pw_gid}", "--init-groups"]
        argv = ["setpriv", *ids, "--", *argv]
        env = {"HOME": person.pw_dir, "XDG_CONFIG_HOME": ""}
    run(argv, stdin=stdin, env=env, timeout_s=30)
