"""Headers taken apart here against those of astropy, on regular and on odd cards."""

from __future__ import annotations

import copy
import math
import warnings

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpucube.fits_header import Header, header_text, parse_header

PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126)
KEYWORDS = st.from_regex(r"[A-Z0-9_-]{1,8}", fullmatch=True) | st.sampled_from(["EXTNAME", "TTYPE1", "END1", "DP1"])
ODD_KEYWORDS = st.sampled_from(["HIERARCH A B", "COMMENT", "HISTORY", "", "lower", "CONTINUE", "A=", "A B", "END"])
NUMBERS = st.from_regex(r"[+-]?(\.[0-9]{1,3}|[0-9]{1,9}(\.[0-9]{0,9})?)([DEde][+-]?[0-9]{1,2})?", fullmatch=True)
TEXTS = st.text(PRINTABLE, max_size=30).map(lambda text: "'" + text.replace("'", "''") + "'")
ODD_VALUES = st.sampled_from(
    ["", "'no end", "'a'b'", "'a'' / b'", "(1.0, 2.0)", "- 5", "1 .5", "'AXIS.1: 2'", "t", "nan"]
)
COMMENTS = st.text(PRINTABLE, max_size=20) | st.sampled_from(["", " / [TeV]", "/[s] x", "/"])


@st.composite
def cards(draw: st.DrawFn, odd: bool) -> str:
    """A card as some writer may write it."""
    keyword = draw(KEYWORDS | ODD_KEYWORDS if odd else KEYWORDS)
    value = draw(NUMBERS | TEXTS | ODD_VALUES if odd else NUMBERS | TEXTS | st.sampled_from(["T", "F"]))
    width = draw(st.integers(0, 20))
    comment = draw(COMMENTS) if odd else draw(st.sampled_from(["", " / [TeV]", "/[s] x  y", " /"]))
    return f"{keyword:8}= {value:>{width}}{comment}"[:80].ljust(80)


def read(header: object, keyword: str) -> object:
    """What a reader sees of a keyword."""
    try:
        comment = None if keyword in ("COMMENT", "HISTORY", "") else header.comments[keyword]
        return keyword in header, header[keyword], comment, header.get(keyword, 5)
    except KeyError:
        return keyword in header, header.get(keyword, 5)
    except fits.VerifyError as error:
        return type(error)


def assert_same(images: list[str]) -> object:
    text = "".join(images) + "END".ljust(80)
    found, expected = parse_header(text), fits.Header.fromstring(text)
    for keyword in [*dict.fromkeys(image[:8].strip() for image in images), "MISSING", "EXTNAME", "COMMENT"]:
        mine, theirs = read(found, keyword), read(expected, keyword)
        assert str(mine) == str(theirs), keyword  # the same type, too
    return found


@given(images=st.lists(cards(odd=True), max_size=3))
@example(images=["DP1     = 'AXIS.1: 2'".ljust(80), "DP1.AXIS= 3".ljust(80)])
@settings(max_examples=200)
def test_odd_headers_are_those_of_astropy(images: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_same(images)


@given(images=st.lists(cards(odd=False), min_size=1, max_size=5))
@settings(max_examples=200)
def test_regular_headers_are_those_of_astropy(images: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_same(images)


def test_no_astropy_header_is_made_of_regular_cards() -> None:
    header = fits.Header(
        [("ONTIME", 1683.0, "[s] total"), ("N", 4), ("OK", True), ("NAME", "3C 273"), ("A-B", "x / y"), ("NONE", "")]
    )
    header.add_comment("It's a comment")
    found = parse_header(header.tostring(endcard=True, padding=True))
    assert isinstance(found, Header)
    assert [found[key] for key in found] == [1683.0, 4, True, "3C 273", "x / y", ""]
    assert found.comments["ONTIME"] == "[s] total"
    assert "GEOLON" not in found
    assert found.get("GEOLON") is None
    with pytest.raises(KeyError, match="GEOLON"):
        found["GEOLON"]
    assert "_whole" not in vars(found)
    assert str(found["comment"]) == "It's a comment"
    assert found.tostring() == header.tostring()
    assert copy.copy(found)["N"] == 4


@pytest.mark.parametrize("card", ["COMMENT bell \a", "A       = 'bell \a'", "A       = 1 / caf\u00e9"])
def test_characters_that_fits_does_not_allow_are_left_to_astropy(card: str) -> None:
    """Commentary, too."""
    assert not isinstance(parse_header(card.ljust(80) + "END".ljust(80)), Header)


@pytest.mark.parametrize("value", ["1.5D3", "1.5E3", "1500", "+1500.", "001500", ".15E4"])
def test_numbers_of_any_spelling(value: str) -> None:
    found = parse_header(f"KEY     = {value}".ljust(80) + "END".ljust(80))
    assert isinstance(found, Header)
    assert math.isclose(found["KEY"], 1500)
    assert isinstance(found["KEY"], int) == value.isdigit()


@given(
    keyword=KEYWORDS | st.sampled_from(["COMMENT", "HISTORY", ""]),
    value=st.text(PRINTABLE, max_size=90)
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_infinity=False, allow_nan=False),
    comment=st.text(PRINTABLE, max_size=30).map(str.strip),
)
@example(keyword="A", value=np.float32(1.1), comment="")
@example(keyword="A", value=np.int64(3), comment="[s] x")
@example(keyword="A", value=np.bool_(True), comment="")
@settings(max_examples=300)
def test_cards_are_written_as_by_astropy(keyword: str, value: object, comment: str) -> None:
    if keyword in ("COMMENT", "HISTORY", ""):
        value, comment = str(value), ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = fits.Header([(keyword, value, comment)]).tostring(sep="", endcard=False, padding=False)
        assert header_text([(keyword, value, comment)]) == expected
