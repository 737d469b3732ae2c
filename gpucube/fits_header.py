"""Cards of FITS headers, read and written without astropy where they are what almost all cards are.

To parse or to format a card takes astropy some 20 us, and an observation has hundreds. Here one regular expression
takes a card with a plain keyword and a text, a number or a truth value apart; a header with any other card is left to
astropy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from astropy.io import fits

__all__ = ["CARD", "COMMENTARY", "KEYWORD", "PRINTABLE", "Header", "header_text", "parse_header"]

CARD = 80
COMMENTARY = {"COMMENT", "HISTORY", ""}
END = "END".ljust(CARD)
PRINTABLE = re.compile("[ -~]*")
KEYWORD = re.compile("[A-Z0-9_-]{1,8}")
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
    cards = _regular_cards(text)
    return fits.Header.fromstring(text) if cards is None else Header(text, cards)


def _regular_cards(text: str) -> dict[str, re.Match[str]] | None:
    """The first card of each keyword; None if a card is not regular."""
    cards: dict[str, re.Match[str]] = {}
    for start in range(0, len(text), CARD):
        card = text[start : start + CARD]
        keyword, match = _regular_card(card)
        if match:
            cards.setdefault(keyword, match)
        elif card == END:
            return cards
        elif keyword not in COMMENTARY:
            return None
    return None


# Four of five cards of an event list are those of the one before.
@lru_cache(maxsize=1024)
def _regular_card(card: str) -> tuple[str, re.Match[str] | None]:
    """Keyword and parts of a card; no parts if it is commentary, and no keyword but all of it if it is not regular."""
    match = REGULAR.fullmatch(card)
    # Texts such as 'AXIS: 2' are keywords with values of their own to astropy.
    if not (card.isascii() and card.isprintable()) or (match and ": " in (match[2] or "")):
        return card, None
    return match[1] if match else card[:8].rstrip(), match


class Header:
    """A header that takes over what readers ask for, in the terms of `astropy.io.fits.Header`; astropy does the rest.

    Parameters
    ----------
    text : str
        All cards, END among them.
    cards : dict of str to match
        The first card of each keyword.
    """

    def __init__(self, text: str, cards: dict[str, re.Match[str]]) -> None:
        self.text, self._matches = text, cards

    def __getattr__(self, name: str) -> Any:
        """Whatever else a header has."""
        if name.startswith("__"):  # what copying and pickling look for before there is a text
            raise AttributeError(name)
        return getattr(self._whole, name)

    @cached_property
    def _whole(self) -> fits.Header:
        return fits.Header.fromstring(self.text)

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
        """Get the value of a keyword.

        Parameters
        ----------
        keyword : str
            The keyword.
        default : object, optional
            What to give if it is missing.

        Returns
        -------
        object
            Its value, or the default.
        """
        try:
            return self[keyword]
        except KeyError:
            return default

    @property
    def cards(self) -> Iterator[tuple[str, Any]]:
        """Keywords and values of all cards, also of those without a value: comments."""
        for start in range(0, self.text.index(END), CARD):
            _, match = _regular_card(self.text[start : start + CARD])
            if match:
                yield match[1], _value(match)
            else:
                yield self.text[start : start + 8].rstrip(), self.text[start + 8 : start + CARD].rstrip()

    @property
    def comments(self) -> Comments:
        """Comment of each keyword, empty if it has none."""
        return Comments(self._matches)


class Comments(Mapping[str, str]):
    """Comments of cards, taken from them when they are asked for."""

    def __init__(self, cards: dict[str, re.Match[str]]) -> None:
        self._matches = cards

    def __getitem__(self, keyword: str) -> str:
        return (self._matches[keyword][5] or "").rstrip()

    def __iter__(self) -> Iterator[str]:
        return iter(self._matches)

    def __len__(self) -> int:
        return len(self._matches)


# Of the cards that observations have in common, too
@lru_cache(maxsize=1024)
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


def header_text(cards: Iterable[tuple[str, object] | tuple[str, object, str]]) -> str:
    """Format the cards of a header.

    Parameters
    ----------
    cards : iterable of (str, object) or (str, object, str)
        Keywords, values and comments.

    Returns
    -------
    str
        The cards as astropy formats them, without END.
    """
    return "".join(_card_text(*card) for card in cards)


# The tables of a model have many cards in common. Typed, because 1, 1.0 and True are equal and have other texts.
@lru_cache(maxsize=1024, typed=True)
def _card_text(keyword: str, value: object, comment: str = "") -> str:
    text = _value_text(keyword, value)
    if text is not None:
        equals = "" if keyword in COMMENTARY else "= "
        card = f"{keyword:8}{equals}{text}{' / ' * bool(comment)}{comment}"
        if len(card) <= CARD and PRINTABLE.fullmatch(card):
            return card.ljust(CARD)
    return str(fits.Header([(keyword, value, comment)]).tostring(sep="", endcard=False, padding=False))


def _value_text(keyword: str, value: object) -> str | None:
    """Value of a regular card; None for what astropy has to format."""
    if keyword in COMMENTARY:
        return value if isinstance(value, str) else None
    if not KEYWORD.fullmatch(keyword):
        return None
    match value:
        case str() if "'" in value or ": " in value:
            return None
        case str():
            return f"'{value:8}'".ljust(20) if value else "''"
        case bool() | np.bool_():
            return f"{'T' if value else 'F':>20}"
        case int() | np.integer():
            return f"{value:>20d}"
        case float() | np.floating():
            text = str(value).replace("e", "E")
            return f"{text:>20}" if len(text) <= 20 and np.isfinite(value) else None
    return None
