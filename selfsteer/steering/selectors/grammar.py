"""Reading selectors: the grammar of the package's docstring, by one pass over the words."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache

from selfsteer.errors import SelectorError
from selfsteer.steering.selectors.selector import Selector
from selfsteer.steering.selectors.terms import BARE, NAMES, ROLES, Range, Set, Term, Text, TokenId

# Each alternative starts with another character, so that reading takes time in proportion to the
# length of the text, whatever it is.
_WORD = re.compile(
    r"""\s*(?:
        (?P<name>[^\W\d]\w*)
      | (?P<number>[0-9]+)
      | (?P<text>"(?:[^"\\]|\\.)*")
      | (?P<sign>[-+:\[\]])
    )""",
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"\s*")
_DIGITS = 9  # of the largest position: beyond any text
_SHOWN = 80  # characters of a text in a message
_EXAMPLE = "'response[0:8] + last - user'"


def parse(text: str | Selector) -> Selector:
    """Read a selector.

    Raises:
        SelectorError: when the text is no selector, with the place where it stops to be one and
            what was expected there.
    """
    return text if isinstance(text, Selector) else _parse(text)


@lru_cache(maxsize=1024)
def _parse(text: str) -> Selector:
    reader = _Reader(text)
    include, exclude = [reader.term()], list[Term]()
    while not reader.at_end:
        if reader.take("+"):
            include.append(reader.term())
        elif reader.take("-") or reader.take("except"):
            exclude.append(reader.term())
        else:
            raise reader.expected("'+', '-' or the end")
    return Selector(tuple(include), tuple(exclude))


@dataclass(frozen=True)
class _Word:
    """One word of the text: its kind, itself, and where it starts."""

    kind: str
    value: str
    start: int


class _Reader:
    """Walks the words of a text; every step either goes on or raises."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._words: list[_Word] = []
        cursor = 0
        while match := _WORD.match(text, cursor):
            kind = str(match.lastgroup)
            self._words.append(_Word(kind, match[kind], match.start(kind)))
            cursor = match.end()
        blank = _BLANK.match(text, cursor)
        end = blank.end() if blank else cursor
        # What no word begins with stands as one that nothing takes.
        self._words.append(_Word("end" if end == len(text) else "junk", "", end))
        self._at = 0

    @property
    def at_end(self) -> bool:
        """Whether everything has been read."""
        return self._word.kind == "end"

    def take(self, value: str) -> bool:
        """Go past a sign or a name if it is the next word."""
        found = self._word.value == value and self._word.kind in ("sign", "name")
        self._at += found
        return found

    def term(self) -> Term:
        word = self._word
        if word.kind == "text":
            self._at += 1
            return self._text(word)
        if word.kind != "name" or word.value == "except":
            raise self.expected("a term")
        self._at += 1
        if word.value == "id":
            self._need(":", "':' and a token id")
            return TokenId(self._number("a token id"))
        if word.value not in NAMES:
            raise SelectorError(
                f"Unknown term {_shown(word.value)} at character {word.start + 1} of selector "
                f"{_shown(self.text)}; it is one of {', '.join(NAMES)}, id:NUMBER or a text in "
                "double quotes."
            )
        return self._set(word)

    def _set(self, name: _Word) -> Set:
        turns: Range | None = None
        bounds: Range = (None, None)
        bracket = self._word.value == "["
        if bracket and name.value in BARE:
            raise SelectorError(
                f"{name.value!r} in selector {_shown(self.text)} takes no slice, but has one at "
                f"character {self._word.start + 1}; leave the brackets out."
            )
        if name.value == "position" and not bracket:
            raise self.expected("'[' and a position")
        if self.take("["):
            if self._word.value == "turn":
                turns = self._turns(name)
                if self.take("["):
                    bounds = self._range()
            else:
                bounds = self._range()
        return Set(name.value, *bounds, None if turns == (None, None) else turns)

    def _turns(self, name: _Word) -> Range:
        if name.value not in ROLES:
            raise SelectorError(
                f"{name.value!r} in selector {_shown(self.text)} has no turns, but is asked for "
                f"one at character {self._word.start + 1}; system, user and assistant have them."
            )
        self._at += 1
        return self._range()

    def _range(self) -> Range:
        """An index or a slice, and the bracket that ends it."""
        start = self._bound()
        if self.take(":"):
            stop = self._bound()
            self._need("]", "']'" if stop is not None else "a position or ']'")
            return start, stop
        if start is None:
            raise self.expected("an index or a slice between the brackets")
        self._need("]", "':' or ']', for an index or a slice")
        return start, None if start == -1 else start + 1

    def _bound(self) -> int | None:
        if self.take("-"):
            return -self._number("a position")
        return self._number("a position") if self._word.kind == "number" else None

    def _number(self, wanted: str) -> int:
        word = self._word
        if word.kind != "number":
            raise self.expected(wanted)
        digits = word.value.lstrip("0")
        if len(digits) > _DIGITS:
            raise SelectorError(
                f"The number at character {word.start + 1} of selector {_shown(self.text)} is "
                f"beyond any text; it has more than {_DIGITS} digits."
            )
        self._at += 1
        return int(digits or "0")

    def _text(self, word: _Word) -> Text:
        try:
            found = str(json.loads(word.value, strict=False))
            found.encode()
        except ValueError as error:  # an escape that JSON has not; half of a surrogate pair
            raise self._broken(word.start, "a text with JSON's escapes") from error
        if not found:
            raise self._broken(word.start, "a text with at least one character")
        return Text(found)

    def _need(self, sign: str, wanted: str) -> None:
        if not self.take(sign):
            raise self.expected(wanted)

    @property
    def _word(self) -> _Word:
        return self._words[self._at]

    def expected(self, wanted: str) -> SelectorError:
        """The error for a text that goes on otherwise than it should."""
        if self._word.kind == "junk" and self.text[self._word.start] == '"':
            return self._broken(self._word.start, "a text that ends in '\"'")
        return self._broken(self._word.start, wanted)

    def _broken(self, position: int, wanted: str) -> SelectorError:
        return SelectorError(
            f"Selector {_shown(self.text)} cannot be read at character {position + 1}: expected "
            f"{wanted}, as in {_EXAMPLE}."
        )


def _shown(text: str) -> str:
    """A text for a message, cut where it is long."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")
