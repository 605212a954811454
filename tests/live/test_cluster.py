"""A cell that is a cluster of three; what members' deaths do to it is seen in `script/bench cluster`."""

import asyncio

import pytest

from cluster_cell import a_cell_of_three, act, lives

pytestmark = pytest.mark.live


def test_a_server_lives_on_a_cluster_of_three_over_https() -> None:
    with a_cell_of_three() as (made, cluster):
        rows = asyncio.run(act(made, cluster, lives))
    assert [seen for _, seen, _ in rows] == ["yes"] * 8
