"""Which permission covers which."""

import pytest

from openvps.accounts.permissions import OPERATOR_RESOURCES, RESOURCES, allows, known


@pytest.mark.parametrize(
    ("granted", "wanted", "allowed"),
    [
        (["servers:read"], "servers:read", True),
        (["servers:read"], "servers:write", False),
        (["servers:*"], "servers:write", True),
        (["ssh_keys:*"], "servers:read", False),
        (["*:*"], "dns:write", True),
        (["*:read"], "dns:read", True),
        (["*:read"], "dns:write", False),
        (["servers:read"], "servers:*", False),
        (["servers:read", "servers:write"], "servers:*", False),
        (["servers:*"], "servers:*", True),
        (["*:*"], "servers:*", True),
        (["*:read"], "servers:*", False),
        (["servers:*"], "*:*", False),
        (["*:read"], "*:*", False),
        (["*:*"], "*:read", True),
        ([], "servers:read", False),
        (["*"], "servers:read", False),
        (["server:read"], "servers:read", False),
        (["*:*"], "accounts:read", False),
        (["*:read"], "accounts:read", False),
        (["accounts:*"], "accounts:write", True),
        (["accounts:read"], "accounts:read", True),
    ],
)
def test_a_permission_covers_itself_and_less(granted: list[str], wanted: str, allowed: bool) -> None:
    assert allows(granted, wanted) is allowed


def test_a_star_covers_everything_but_what_is_the_operators() -> None:
    covered = {one for one in known(operator=True) if allows(["*:*"], one)}
    assert covered == set(known(operator=False))
    assert not RESOURCES.keys() & OPERATOR_RESOURCES.keys()
