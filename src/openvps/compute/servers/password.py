"""A new root password: shown once, kept only as the hash that goes into the server."""

import secrets
import string
from typing import Any

from passlib.handlers.sha2_crypt import sha512_crypt

_ALPHABET = "".join(sorted(set(string.ascii_letters + string.digits) - set("0O1lI")))  # no look-alikes
_LENGTH = 20  # 57 ** 20 is 116 bits
_crypt: Any = sha512_crypt  # the library's types say too little
_ROUNDS = 5000  # crypt(3)'s default: a random password needs no stretching


def make() -> tuple[str, str]:
    """Return a password and its crypt(3) hash (SHA-512)."""
    text = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return text, _crypt.using(rounds=_ROUNDS).hash(text)
