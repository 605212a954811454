"""How many wrong attempts, and how long until the next."""

import pytest

from openvps.accounts.throttle import MAX_KEYS, WINDOW_S, Throttle, client_key
from openvps.core.errors import TooMany


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_window_slides() -> None:
    clock = Clock()
    throttle = Throttle(2, clock=clock)
    throttle.count("a")
    clock.now += 100
    throttle.count("a")
    with pytest.raises(TooMany) as refused:
        throttle.count("a")
    assert refused.value.retry_after_s == WINDOW_S - 100 + 1
    throttle.count("b")
    clock.now += WINDOW_S - 100
    throttle.count("a")
    with pytest.raises(TooMany):
        throttle.count("a")


def test_what_was_right_is_forgiven() -> None:
    throttle = Throttle(1)
    for _ in range(3):
        throttle.count("a")
        throttle.forgive("a")
    throttle.forgive("never seen")


def test_what_is_remembered_is_bounded() -> None:
    throttle = Throttle(1)
    for number in range(MAX_KEYS + 1):
        throttle.count(str(number))
    throttle.count("0")
    with pytest.raises(TooMany):
        throttle.count(str(MAX_KEYS))


def test_a_network_of_ipv6_is_one_client() -> None:
    assert client_key("2001:db8::1") == client_key("2001:db8:0:0:ffff::2") != client_key("2001:db8:0:1::1")
    assert client_key("192.0.2.1") != client_key("192.0.2.2")
    assert client_key(None) == client_key(None)
