"""What a look finds, and the report that is kept of it."""

from dataclasses import asdict, dataclass, field
from typing import Any

ORPHAN, MISSING, DIFFERS, STUCK = "orphan", "missing", "differs", "stuck"


@dataclass(frozen=True)
class Finding:
    """One thing that is nobody's, isn't there, is otherwise than the rows say, or that nobody moves any more."""

    kind: str  # machine, snapshot, volume, image, profile, server, backup, address, hold, meter, action, job, room
    problem: str  # one of the four above
    subject: str  # its name in the engine, its address, or its row's number
    text: str  # for an operator
    repair: str | None = None  # what `--repair` does about it; None: a person must decide
    cell: str | None = None
    cell_id: int | None = None

    @property
    def key(self) -> tuple[str | None, str, str, str]:
        """What it is known by in the next look."""
        return self.cell, self.kind, self.problem, self.subject

    def shown(self) -> dict[str, Any]:
        """Return it as it is printed and kept."""
        return {name: value for name, value in asdict(self).items() if name != "cell_id"}


@dataclass
class Seen:
    """A look at everything: what was found, and the cells that couldn't be looked at, with the reason."""

    findings: list[Finding] = field(default_factory=list[Finding])
    cells: int = 0
    unseen: dict[str, str] = field(default_factory=dict[str, str])

    def in_both(self, other: "Seen") -> "Seen":
        """Return what this look and an earlier one have found: what was on its way is in one of them only."""
        before = {one.key for one in other.findings}
        return Seen([one for one in self.findings if one.key in before], self.cells, self.unseen | other.unseen)


@dataclass
class Report:
    """What two looks agreed on, what was repaired of it, and what is left."""

    left: Seen
    repaired: list[Finding] = field(default_factory=list[Finding])

    @property
    def exit_code(self) -> int:
        """0: engine and database agree; 1: they don't; 2: a cell couldn't be looked at."""
        return 2 if self.left.unseen else int(bool(self.left.findings))

    def shown(self) -> dict[str, Any]:
        """Return it as it is printed and kept."""
        return {
            "cells": self.left.cells,
            "unseen": [{"cell": cell, "reason": reason} for cell, reason in self.left.unseen.items()],
            "findings": [one.shown() for one in self.left.findings],
            "repaired": [one.shown() for one in self.repaired],
        }

    @classmethod
    def read(cls, shown: dict[str, Any]) -> "Report":
        """Return the report that `shown` was made of."""
        unseen = {one["cell"]: one["reason"] for one in shown["unseen"]}
        left, repaired = ([Finding(**one) for one in shown[name]] for name in ("findings", "repaired"))
        return cls(Seen(left, shown["cells"], unseen), repaired)
