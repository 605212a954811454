"""Settings that contradict each other are refused at the start, with what to do."""

import pytest
from pydantic import ValidationError

from openvps.core.settings import Settings


def test_the_defaults_listen_on_loopback_only() -> None:
    assert Settings().loopback
    assert Settings().base_url == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LISTEN", "0.0.0.0:80", "OPENVPS_TLS_CERTIFICATE"),
        ("NETWORK_MODE", "routed", "OPENVPS_IPV4_POOL"),
        ("IPV4_POOL", "10.0.0.0/8", "/16 or smaller"),
        ("TLS_KEY", "/k.pem", "go together"),
        ("RESERVED_ADDRESSES", "10.77.0.300", "reserved_addresses"),
        ("COUNTRY_CODE", "usa", "country_code"),
    ],
)
def test_a_contradiction_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    monkeypatch.setenv(f"OPENVPS_{name}", value)
    with pytest.raises(ValidationError, match=says):
        Settings()


def test_lists_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENVPS_RESERVED_ADDRESSES", "10.77.0.1, 10.77.1.0/24")
    assert Settings().reserved_addresses == ["10.77.0.1/32", "10.77.1.0/24"]
