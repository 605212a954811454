"""An OpenSSH public key, read strictly: one line, a known type, a blob that says the same (RFC 4253, 6.6).

What is kept is written anew from the parsed parts, so that nothing else of the customer's text reaches a server's
`authorized_keys`: no options, no further lines, no control characters.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

# Blob strings after the type, in order; None: any length. ECDSA's points are uncompressed (RFC 5656).
_PARTS: dict[str, tuple[int | None, ...]] = {
    "ssh-ed25519": (32,),
    "ecdsa-sha2-nistp256": (8, 65),
    "ecdsa-sha2-nistp384": (8, 97),
    "ecdsa-sha2-nistp521": (8, 133),
    "sk-ssh-ed25519@openssh.com": (32, None),
    "sk-ecdsa-sha2-nistp256@openssh.com": (8, 65, None),
    "ssh-rsa": (None, None),
}
_LEAST_RSA_BYTES, _MOST_BYTES = 2048 // 8, 16384 // 8 + 64
_COMMENT = re.compile(r"[^A-Za-z0-9@._+-]+")


@dataclass(frozen=True)
class PublicKey:
    """A key as it is kept: `line` for authorized_keys, and its SHA-256 fingerprint."""

    line: str
    fingerprint: str


def parse(text: str) -> PublicKey:
    """Read one public key. Raises ValueError with a text for the customer."""
    words = text.strip().split(None, 2)
    if "PRIVATE KEY" in text:
        raise ValueError("This is a private key: keep it to yourself, and send the .pub file's line.")
    if len(words) < 2 or "\n" in text.strip():  # noqa: PLR2004 -- type and blob
        raise ValueError("One line as in the .pub file: type, key, and perhaps a comment.")
    kind, encoded = words[0], words[1]
    if kind not in _PARTS:
        raise ValueError(f"Unknown key type; known are {', '.join(_PARTS)}.")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("The key itself is not valid base64; is a part of it missing?") from None
    if len(blob) > _MOST_BYTES:
        raise ValueError("The key is too long.")
    parts = _strings(blob)
    if parts[0] != kind.encode() or len(parts) - 1 != len(_PARTS[kind]):
        raise ValueError("The key doesn't match its type; is a part of it missing?")
    if any(want is not None and len(part) != want for part, want in zip(parts[1:], _PARTS[kind], strict=True)):
        raise ValueError("The key has the wrong length for its type.")
    if kind == "ssh-rsa" and len(parts[2].lstrip(b"\0")) < _LEAST_RSA_BYTES:
        raise ValueError("RSA keys need at least 2048 bits.")
    comment = _COMMENT.sub("_", words[2].strip())[:100] if len(words) > 2 else ""  # noqa: PLR2004 -- the third
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    line = " ".join(filter(None, (kind, base64.b64encode(blob).decode(), comment)))
    return PublicKey(line, f"SHA256:{digest}")


def _strings(blob: bytes) -> list[bytes]:
    parts: list[bytes] = []
    at = 0
    while at < len(blob):
        size = int.from_bytes(blob[at : at + 4], "big")
        if at + 4 + size > len(blob):
            raise ValueError("The key ends too early; is a part of it missing?")
        parts.append(blob[at + 4 : at + 4 + size])
        at += 4 + size
    if not parts:
        raise ValueError("The key is empty.")
    return parts
