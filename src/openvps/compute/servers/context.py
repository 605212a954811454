"""What the worker lends to every look, and how long it pauses between two."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from openvps.compute.servers.gate import Gate
from openvps.core.db import Database
from openvps.core.settings import Settings
from openvps.engine.protocol import Engine

BUSY_S = 0.2  # between looks while the engine works
COPIED_S = 1.0  # between looks while a backup is copied
AWAY_S = 5.0  # between looks while the engine doesn't answer, or refuses


@dataclass(frozen=True)
class Context:
    """What the worker lends to every look."""

    database: Database
    settings: Settings
    engines: Mapping[int, Engine]  # by cell
    gates: dict[int, Gate] = field(default_factory=dict[int, Gate])

    def gate(self, cell_id: int) -> Gate:
        """Return the gate to a cell."""
        return self.gates.setdefault(cell_id, Gate())
