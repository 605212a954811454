"""Passwords of people: argon2id, checked in a thread, in the same time whether or not there is one to check."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Annotated

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import Field

MIN_LENGTH, MAX_LENGTH = 12, 256  # length is what holds (NIST SP 800-63B-4); no rules about kinds of characters

NewPassword = Annotated[
    str,
    Field(
        strict=True,
        min_length=MIN_LENGTH,
        max_length=MAX_LENGTH,
        description=f"{MIN_LENGTH} to {MAX_LENGTH} characters of any kind.",
        examples=["four words nobody guesses"],
    ),
]

_hasher = PasswordHasher()  # RFC 9106's second choice: 64 MiB, 3 passes
_threads = ThreadPoolExecutor(2, "passwords")  # 64 MiB each, and the loop goes on


async def hashed(password: str) -> str:
    """Return what is kept of a password."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def verify(kept: str | None, password: str) -> bool:
    """Whether `password` is the one that was kept; None takes as long, and is never right."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _verify, kept, password)


def _verify(kept: str | None, password: str) -> bool:
    try:
        return _hasher.verify(kept or _nobodys(), password) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobodys() -> str:
    return _hasher.hash("nobody's")
