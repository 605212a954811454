"""A customer of the running lab, and a server that is gone when the test ends."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from customer import Customer
from far import Far, Wire, listening

from lab import Lab


@pytest.fixture
def customer(lab: Lab) -> Iterator[Customer]:
    customer = Customer(lab)
    yield customer
    customer.clear()


@pytest.fixture
def server(customer: Customer) -> dict[str, Any]:
    """Return a small server that runs."""
    return customer.until(customer.create()["id"], "active")


@pytest.fixture
def far(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Far]:
    customer = Customer(lab)
    name = f"far{sum(request.node.name.encode()) % 1000}"
    with contextlib.closing(Wire(listening(customer))) as wire:
        far = Far(customer, wire, name)
        added = far.add(far.token())
        assert added.returncode == 0, added.stderr
        try:
            yield far
        finally:
            far.end()
