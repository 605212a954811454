"""The one function that a code is checked by; a wrong one is counted, and the caller commits that."""

from datetime import timedelta
from typing import Literal

from openvps.accounts.second_factor import codes, queries
from openvps.core.clock import now
from openvps.core.db import Connection, Record
from openvps.core.errors import Error, TooMany, Unauthenticated

MOST_WRONG = 10  # in a row; then one attempt an hour: 10 + 24 a day, of a million codes
REST = timedelta(hours=1)

Verdict = Literal["none", "good", "asked", "wrong", "later"]
LET_IN: tuple[Verdict, ...] = ("none", "good")


class SecondFactorWanted(Unauthenticated):
    """The password was right; the code of the second factor is wanted besides."""

    def body(self) -> dict[str, str]:
        """Return the JSON body, which programs know by `second_factor`."""
        return {"detail": self.detail, "second_factor": "required"}


async def verdict(conn: Connection, account_id: int, typed: str) -> Verdict:
    """Say whether an account is let in with what was typed; a code that was good is good no longer."""
    row = await queries.one(conn, account_id, lock=True)
    if row is None or row.confirmed_at is None:
        return "none"
    if not codes.plain(typed):
        return "asked"
    if row.failures >= MOST_WRONG and row.failed_at > now() - REST:
        return "later"
    if await _taken(conn, row, codes.plain(typed)):
        return "good"
    await queries.change(conn, account_id, failures=row.failures + 1, failed_at=now())
    return "wrong"


def refusal(said: Verdict) -> Error | None:
    """Return what a verdict refuses with; None: it lets in."""
    match said:
        case "asked":
            return SecondFactorWanted(
                "This account has a second factor: send the code of its authenticator app, or a recovery code, "
                "as `code`, with the password."
            )
        case "wrong":
            return Unauthenticated("The code is wrong, over, or was used before. Wait for the next one.")
        case "later":
            wait_s = int(REST.total_seconds())
            return TooMany("Too many wrong codes. Try again in an hour.", retry_after_s=wait_s)
        case _:
            return None


async def _taken(conn: Connection, row: Record, typed: str) -> bool:
    if len(typed) == codes.DIGITS:
        step = codes.matching(row.key, typed, now(), after=row.last_step)
        if step is None:
            return False
        await queries.change(conn, row.account_id, last_step=step, failures=0, failed_at=None)
        return True
    digest = codes.recovery_digest(typed)
    if digest not in row.recovery_digests:
        return False
    await queries.spend(conn, row.account_id, digest, row.recovery_digests)
    return True
