"""What Incus's failures mean to us."""

import pytest

from openvps.engine.incus.client import failure
from openvps.engine.protocol import Away, Busy, DiskFull, EngineError, Missing


@pytest.mark.parametrize(
    ("code", "text", "meaning"),
    [
        (400, 'Instance is busy running a "stop" operation', Busy),
        (
            400,
            "Failed to create instance delete operation: A matching non-reusable operation has now succeeded",
            Busy,
        ),
        (412, "ETag doesn't match", Busy),
        (500, "Disk quota exceeded", DiskFull),
        (404, "Instance not found", Missing),
        (503, "", Away),
        (500, "Something else", EngineError),
    ],
)
def test_a_failure_is_told_by_its_code_and_text(code: int, text: str, meaning: type[EngineError]) -> None:
    assert type(failure(code, text)) is meaning
