"""What one check saw."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """A check's name, verdict, what was seen, and what to do about it; `fail` means that it must be done."""

    name: str
    status: Literal["ok", "warn", "fail"]
    seen: str
    advice: str = ""
