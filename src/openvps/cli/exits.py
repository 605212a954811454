"""Exit codes of the customers' commands, and the one line that is said when one isn't 0.

| code | means |
|---|---|
| 0 | done |
| 1 | the API refused, or what was begun failed |
| 2 | the command line or the settings aren't right; nothing was asked |
| 3 | there is no such thing, or the name fits several |
| 4 | the token isn't accepted, or lacks the permission |
| 5 | there isn't enough credit |
| 6 | the API can't be reached, or has no room now; try again later |
| 7 | it isn't done within `--timeout`; it goes on |
| 8 | an answer was lost: it may have been done or not |
| 130 | Ctrl-C; what was begun goes on |
"""

import sys

REFUSED, USAGE, UNKNOWN, DENIED, UNPAID, AWAY, NOT_DONE, LOST, INTERRUPTED = 1, 2, 3, 4, 5, 6, 7, 8, 130


class Stop(Exception):
    """End the command with a line and a code."""

    def __init__(self, said: str, code: int = USAGE) -> None:
        super().__init__(said)
        self.code = code


def talk(line: str) -> None:
    """Say something to the person at the terminal; standard output is for results."""
    print(line, file=sys.stderr, flush=True)


def told(error: BaseException) -> int | None:
    """Say what went wrong and return the exit code; None if it isn't ours to tell."""
    if isinstance(error, Stop):
        if str(error):
            talk(f"openvps: {error}")
        return error.code
    if "openvps.client" not in sys.modules:
        return None
    from openvps.client import errors

    codes: dict[type[BaseException], int] = {
        errors.NotFound: UNKNOWN,
        errors.Unauthenticated: DENIED,
        errors.Forbidden: DENIED,
        errors.PaymentRequired: UNPAID,
        errors.TooManyRequests: AWAY,
        errors.Unavailable: AWAY,
        errors.Unreachable: AWAY,
        errors.NotDone: NOT_DONE,
        errors.AnswerLost: LOST,
        errors.ClientError: REFUSED,
    }
    for kind, code in codes.items():
        if isinstance(error, kind):
            talk(f"openvps: {error}{_advice(error)}")
            return code
    return None


def _advice(error: BaseException) -> str:
    from openvps.client import errors

    if isinstance(error, errors.Unauthenticated):
        return " (`openvps context list` shows which token is used)"
    if isinstance(error, errors.Refused) and error.status >= 500 and error.request_id:  # noqa: PLR2004 -- the API's fault
        return f" (request {error.request_id})"
    return ""
