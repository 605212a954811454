"""A customer of the running lab, and a server that is gone when the test ends."""

from collections.abc import Iterator
from typing import Any

import pytest
from customer import Customer

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
