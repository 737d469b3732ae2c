"""Cards of FITS headers, read and written without astropy where they are what almost all cards are.

To parse or to format a card takes astropy some 20 us, and an observation has hundreds. Here one regular expression
takes a card with a plain keyword and a text, a number or a truth value apart; a header with any other card is left to
astropy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from astropy.io import fits

__all__ = ["CARD", "Header", "parse_header"]

CARD = 80
COMMENTARY = {"COMMENT", "HISTORY", ""}
END = "END".ljust(CARD)
PRINTABLE = re.compile("[ -~]*")
# A keyword, then a text without quotes in it, a truth value or a number, and perhaps a comment.
REGULAR = re.compile(
    r"""(?!COMMENT\ |HISTORY\ |CONTINUE|END\ )(?=.{8}=)([A-Z0-9_-]+)\ *=\ +
    (?: '([^']*)'(?=[ /]|$) | ([TF]) | ([+-]?(?:\.\d+|\d+(?:\.\d*)?)(?:[DE][+-]?\d+)?) )
    \ *(?:/\ *(.*))?""",
    re.VERBOSE,
)


def parse_header(text: str) -> Any:
    """Parse a header.

    Parameters
    ----------
    text : str
        Its cards of 80 characters, END among them.

    Returns
    -------
    Header or astropy.io.fits.Header
        The latter if a card is not regular: long texts, other spellings of keywords, complex or missing values.
    """
    cards = _regular_cards(text) if PRINTABLE.fullmatch(text) else None
    return fits.Header.fromstring(text) if cards is None else Header(text, cards)


def _regular_cards(text: str) -> dict[str, re.Match[str]] | None:
    """The first card of each keyword; None if a card is not regular."""
    cards: dict[str, re.Match[str]] = {}
    for start in range(0, len(text), CARD):
        match = REGULAR.fullmatch(text, start, start + CARD)
        if match is None:
            if text.startswith(END, start):
                return cards
            if text[start : start + 8].rstrip() not in COMMENTARY:
                return None
        # Texts such as 'AXIS: 2' are keywords with values of their own to astropy.
        elif match[2] and ": " in match[2]:
            return None
        else:
            cards.setdefault(match[1], match)
    return None


class Header:
    """A header that takes over what readers ask for, in the terms of `astropy.io.fits.Header`; astropy does the rest.

    Parameters
    ----------
    text : str
        All cards.
    cards : dict of str to match
        The first card of each keyword.
    """

    def __init__(self, text: str, cards: dict[str, re.Match[str]]) -> None:
        self._header_text, self._matches = text, cards

    def __getattr__(self, name: str) -> Any:
        """Whatever else a header has."""
        if name.startswith("__"):  # what copying and pickling look for before there is a text
            raise AttributeError(name)
        return getattr(self._whole, name)

    @cached_property
    def _whole(self) -> fits.Header:
        return fits.Header.fromstring(self._header_text)

    def __contains__(self, keyword: str) -> bool:
        return keyword.upper() in self._matches or (keyword.upper() in COMMENTARY and keyword in self._whole)

    def __iter__(self) -> Iterator[str]:
        return iter(self._matches)

    def __getitem__(self, keyword: str) -> Any:
        if keyword.upper() in self._matches:
            return _value(self._matches[keyword.upper()])
        if keyword in self:
            return self._whole[keyword]
        raise KeyError(f"Keyword {keyword!r} not found.")

    def get(self, keyword: str, default: Any = None) -> Any:
        """Value of a keyword, or a default."""
        try:
            return self[keyword]
        except KeyError:
            return default

    @cached_property
    def comments(self) -> dict[str, str]:
        """Comment of each keyword, empty if it has none."""
        return {keyword: (match[5] or "").rstrip() for keyword, match in self._matches.items()}


def _value(match: re.Match[str]) -> str | bool | int | float:
    text, truth, number = match[2], match[3], match[4]
    if text is not None:
        return text.rstrip()
    if truth is not None:
        return truth == "T"
    try:
        return int(number)
    except ValueError:
        return float(number.replace("D", "E"))
