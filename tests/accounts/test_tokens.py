"""Tokens: a typo is told from a revoked one, and a permission covers what it names and no more."""

from hypothesis import given
from hypothesis import strategies as st

from openvps.accounts import tokens


def test_a_new_token_is_well_formed_and_unlike_the_last() -> None:
    made = [tokens.make() for _ in range(100)]
    assert len(set(made)) == 100
    assert all(tokens.well_formed(one) for one in made)


@given(st.integers(0, 41), st.sampled_from("0aZ-_é"))
def test_a_mistyped_token_is_not_well_formed(at: int, other: str) -> None:
    good = tokens.make()
    typo = good[:at] + other + good[at + 1 :]
    assert tokens.well_formed(typo) == (typo == good)


@given(st.text(max_size=60))
def test_no_text_breaks_the_check(text: str) -> None:
    assert tokens.well_formed(text) in {True, False}
