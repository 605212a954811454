"""The codes of an authenticator app are those of RFC 6238, and each is taken once."""

import base64
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from openvps.accounts.second_factor import codes

KEY = b"12345678901234567890"  # RFC 6238, appendix B, whose codes have eight digits: here are the last six


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_rfc(seconds: int, code: str) -> None:
    assert codes.code(KEY, seconds // codes.STEP_S) == code


def test_a_clock_may_be_wrong_by_one_step_and_a_code_is_taken_once() -> None:
    at = datetime(2026, 11, 26, tzinfo=UTC)
    here = codes.step_of(at)
    for off, good in ((-2, False), (-1, True), (0, True), (1, True), (2, False)):
        typed = codes.code(KEY, here + off)
        assert (codes.matching(KEY, typed, at, after=0) == here + off) == good
    typed = codes.code(KEY, here)
    assert codes.matching(KEY, typed, at, after=here) is None
    assert codes.matching(KEY, codes.code(KEY, here - 1), at, after=here) is None, "nor one before it"
    assert codes.matching(KEY, typed, at + timedelta(days=1), after=0) is None
    for odd in ("", "12345", "૧૨૩૪૫૬", typed + "0"):
        assert codes.matching(KEY, odd, at, after=0) is None


def test_apps_read_the_key_from_the_link() -> None:
    link = urlsplit(codes.link(KEY, "ada+vps@example.com"))
    assert (link.scheme, link.netloc, link.path) == ("otpauth", "totp", "/OpenVPS%3Aada%2Bvps%40example.com")
    query = parse_qs(link.query)
    assert base64.b32decode(query["secret"][0]) == KEY
    assert query["issuer"] == ["OpenVPS"]


def test_recovery_codes_are_known_however_they_are_typed() -> None:
    made = codes.new_recovery_codes()
    assert len(set(made)) == codes.RECOVERY_CODES
    for typed in (made[0].upper(), made[0].replace("-", ""), f" {made[0].replace('-', ' ')} "):
        assert codes.recovery_digest(typed) == codes.recovery_digest(made[0])
    assert codes.recovery_digest(made[0]) != codes.recovery_digest(made[1])
