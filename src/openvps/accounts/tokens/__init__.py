"""Tokens: `vps_` + 190 random bits + checksum; shown once, kept as a SHA-256 digest.

A plain digest is enough: there is nothing to guess in 190 random bits, and every request pays for it.
The checksum (CRC-32, as GitHub's tokens have it) tells a typo from a revoked token without asking the database.
"""

import hashlib
import secrets
import string
import zlib

PREFIX = "vps_"
_ALPHABET = string.digits + string.ascii_letters
_RANDOM, _CHECK = 32, 6  # base-62 digits: 190 bits, and enough for 32


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_ALPHABET))
        digits += _ALPHABET[digit]
    return digits


def make() -> str:
    """Return a new token's text."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return PREFIX + body + _checksum(body)


def well_formed(text: str) -> bool:
    """Whether the prefix, the length and the checksum are right."""
    body, check = text[len(PREFIX) : -_CHECK], text[-_CHECK:]
    return text.startswith(PREFIX) and len(body) == _RANDOM and text.isascii() and _checksum(body) == check


def digest(text: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(text.encode()).digest()
