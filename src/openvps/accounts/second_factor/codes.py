"""What is typed: six digits that an app makes of a key and the time (RFC 6238), or a recovery code.

HMAC-SHA1, six digits, 30 seconds: what every app knows, and the only form that all of them read from a QR code.
SHA-1's weakness is collisions, which HMAC doesn't rest on.
"""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime
from urllib.parse import quote, urlencode

ISSUER = "OpenVPS"
KEY_BYTES = 20  # RFC 4226: as long as the hash
STEP_S = 30
DIGITS = 6
DRIFT = 1  # steps that a clock may be wrong by, either way (RFC 6238, section 5.2)
RECOVERY_CODES = 10
RECOVERY_BYTES = 10  # 80 bits: nobody finds one by its hash


def new_key() -> bytes:
    """Return a key that nobody can guess."""
    return secrets.token_bytes(KEY_BYTES)


def written(key: bytes) -> str:
    """Return a key as it is typed into an app."""
    return base64.b32encode(key).decode()


def link(key: bytes, email: str) -> str:
    """Return a key as apps read it from a QR code."""
    label = quote(f"{ISSUER}:{email}")
    return f"otpauth://totp/{label}?{urlencode({'secret': written(key), 'issuer': ISSUER})}"


def step_of(at: datetime) -> int:
    """Return which step of 30 seconds a moment is in."""
    return int(at.timestamp()) // STEP_S


def code(key: bytes, step: int) -> str:
    """Return the code of a step (RFC 4226, section 5.3)."""
    digest = hmac.digest(key, step.to_bytes(8, "big"), "sha1")
    start = digest[-1] & 0x0F
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def matching(key: bytes, typed: str, at: datetime, *, after: int) -> int | None:
    """Return the step whose code was typed, of those near `at` and later than `after`; None: there is none."""
    here = step_of(at)
    for step in range(max(here - DRIFT, after + 1), here + DRIFT + 1):
        if hmac.compare_digest(code(key, step).encode(), typed.encode()):
            return step
    return None


def plain(typed: str) -> str:
    """Return what was typed without the blanks and hyphens that people put in."""
    return "".join(one for one in typed if one not in " -").lower()


def new_recovery_codes() -> list[str]:
    """Return codes that each let their owner in once, without the app."""
    made = (base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().lower() for _ in range(RECOVERY_CODES))
    return ["-".join(one[at : at + 4] for at in range(0, len(one), 4)) for one in made]


def recovery_digest(typed: str) -> bytes:
    """Return what is kept of a recovery code."""
    return hashlib.sha256(plain(typed).encode()).digest()
