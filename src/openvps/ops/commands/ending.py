"""How a command ends that didn't succeed: what is said, and with which code."""

import os
import sys

from cyclopts import CycloptsError

from openvps.cli import exits


def told(error: BaseException) -> int | None:
    """Say what went wrong, in a line for each thing, and return the exit code; None if it is a fault of ours."""
    if isinstance(error, CycloptsError):  # it has been said
        return exits.USAGE
    if isinstance(error, KeyboardInterrupt):
        return exits.INTERRUPTED
    if isinstance(error, BrokenPipeError):  # who read our output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, ConnectionError):
        exits.talk(f"openvps: {error}")
        return exits.REFUSED
    lines = bad_settings(error)
    for line in lines:
        exits.talk(f"openvps: {line}")
    return exits.USAGE if lines else exits.told(error)


def bad_settings(error: BaseException) -> list[str]:
    """Return a line for each bad setting that `error` names; none if it is about something else.

    Values are left out: one may be a password.
    """
    if not isinstance(error, ValueError):
        return []
    from pydantic import ValidationError

    if not isinstance(error, ValidationError) or error.title != "Settings":
        return []
    return [
        (f"OPENVPS_{str(one['loc'][0]).upper()}: " if one["loc"] else "") + one["msg"].removeprefix("Value error, ")
        for one in error.errors(include_input=False, include_url=False)
    ]
