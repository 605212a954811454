"""Signatures of the Standard Webhooks specification (1.0.0): HMAC-SHA256 over id, time and body."""

import base64
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

PREFIX = "whsec_"
KEY_BYTES = 32  # the specification: 24 to 64


def new_key() -> bytes:
    """Return a key that nobody can guess."""
    return secrets.token_bytes(KEY_BYTES)


def written(key: bytes) -> str:
    """Return a key as its receiver keeps it."""
    return PREFIX + base64.b64encode(key).decode()


def headers(keys: Sequence[bytes], message: str, at: datetime, body: bytes) -> list[tuple[str, str]]:
    """Return the headers that a message is known by; each key signs it, for receivers that still have the old one."""
    moment = int(at.timestamp())
    signed = f"{message}.{moment}.".encode() + body
    signatures = (f"v1,{base64.b64encode(hmac.digest(key, signed, sha256)).decode()}" for key in keys)
    return [
        ("webhook-id", message),
        ("webhook-timestamp", str(moment)),
        ("webhook-signature", " ".join(signatures)),
    ]
