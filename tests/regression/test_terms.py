"""Terms of a regression by their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucube.errors import OptionError
from gpucube.regression.terms import DEFAULT, TERMS, terms_named

SPECTRUM = "spectrum"
OTHERS = st.sets(st.sampled_from(sorted(set(TERMS) - {SPECTRUM})))


def chosen(*names: str) -> set[str]:
    return {term.name for term in terms_named(names)}


@given(OTHERS, OTHERS, OTHERS)
def test_terms_are_named_added_and_taken_away(named: set[str], added: set[str], taken: set[str]) -> None:
    signed = *(f"+{name}" for name in added), *(f"-{name}" for name in taken)
    assert chosen(SPECTRUM, *named, *signed) == {SPECTRUM} | ((named | added) - taken)
    assert chosen(*signed) == (set(DEFAULT) | added) - taken


@pytest.mark.parametrize("name", ["++galactic", "--radial", "+-galactic", "+", "-", "", "Radial", "phase_of_moon"])
def test_names_that_mean_nothing_are_refused(name: str) -> None:
    """Two signs did nothing, and nothing was said."""
    with pytest.raises(OptionError, match=r"unknown terms of a regression: .*; choose from spectrum, "):
        terms_named((name,))


def test_a_sign_alone_is_told() -> None:
    with pytest.raises(OptionError, match="a sign without a name; choose from"):
        terms_named(("+",))


@pytest.mark.parametrize("names", [("radial",), ("-spectrum",)])
def test_no_spectrum(names: tuple[str, ...]) -> None:
    with pytest.raises(OptionError, match="needs the term spectrum"):
        terms_named(names)
