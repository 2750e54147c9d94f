"""Which tokens: one small language for capturing and for steering.

    selector := term (("+" | "-") term)*
    term     := name | name "[" index "]" | name "[" start? ":" stop? "]"
    name     := all | prompt | response | generated | system | user | assistant | last | special

`+` joins sets, `-` takes away and always wins, wherever it stands. `response` (also `generated`)
is everything after the prompt, `assistant` is every turn of the student, `last` the last prompt
token. A slice counts the ordinary tokens of its term in order, from the end where negative:
`user[0]` is the first token of what the user said.

Special tokens (start, end, turn marks, template scaffolding) never match unless `special` is one
of the terms: `all + special` is every token. `last` names one position and matches whatever
stands there. Taking away a whole term takes its special tokens too. Pads are no tokens:
positions are counted in the row without them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfsteer.errors import SelectorError
from selfsteer.steering.encoding import Encoded

Mask = NDArray[np.bool_]

_ROLES = frozenset({"system", "user", "assistant"})
_ALIASES = {"generated": "response"}
_NAMES = frozenset({"all", "prompt", "response", "last", "special"}) | _ROLES
# Terms that a reply makes longer: their end is not known while the student still speaks.
_GROWING = frozenset({"all", "response", "assistant"})
_UNSLICED = frozenset({"last", "special"})

_TERM = re.compile(
    r"\s*(?P<name>[a-z]+)\s*(?:\[\s*(?P<start>-?\d+)?\s*(?P<colon>:)?\s*(?P<stop>-?\d+)?\s*\])?\s*"
)
_LARGEST = 10**9


@dataclass(frozen=True)
class Term:
    """A named set of tokens, or a slice of it; `start` and `stop` as in Python."""

    name: str
    start: int | None = None
    stop: int | None = None

    @property
    def is_slice(self) -> bool:
        """Whether only some of the set is meant."""
        return self.start is not None or self.stop is not None

    @property
    def from_end(self) -> bool:
        """Whether the slice counts from the end."""
        return (self.start or 0) < 0 or (self.stop or 0) < 0

    def __str__(self) -> str:
        if not self.is_slice:
            return self.name
        start = "" if self.start is None else self.start
        stop = "" if self.stop is None else self.stop
        return f"{self.name}[{start}:{stop}]"


@dataclass(frozen=True)
class Selector:
    """A parsed selector: the union of `include` without anything in `exclude`."""

    include: tuple[Term, ...]
    exclude: tuple[Term, ...] = ()

    def __str__(self) -> str:
        kept = " + ".join(map(str, self.include))
        return kept + "".join(f" - {term}" for term in self.exclude)

    @property
    def needs_end(self) -> bool:
        """Whether the meaning depends on where the reply ends, so that it cannot steer one."""
        return any(t.name in _GROWING and t.from_end for t in self.include + self.exclude)

    def mask(self, row: Encoded) -> Mask:
        """Bool [T], True for the selected tokens of one row (T tokens, without pads)."""
        return self._evaluate(np.array(row.special, dtype=bool), row.roles, row.prompt_length)

    def reply_masks(self, row: Encoded, count: int) -> tuple[Mask, bool]:
        """What is selected of the tokens that the student will add after `row`.

        Returns:
            Bool [count]: whether the n-th ordinary token of the reply is selected; and whether
            its special tokens are, which holds for all of them alike.

        Raises:
            SelectorError: when the selector counts from the end of the reply.
        """
        if self.needs_end:
            raise SelectorError(
                f"Selector '{self}' counts from the end of a reply that is not finished; count "
                "from its start."
            )
        known = np.array(row.special, dtype=bool)
        flags = np.concatenate([known, np.zeros(count, dtype=bool), [True]])
        roles = row.roles + ["assistant"] * (count + 1)
        reply = self._evaluate(flags, roles, row.prompt_length)[len(known) :]
        return reply[:count], bool(reply[count])

    def _evaluate(self, special: Mask, roles: list[str], prompt_length: int) -> Mask:
        chosen = np.zeros(len(special), dtype=bool)
        for term in self.include:
            span = _span(term, special, roles, prompt_length)
            chosen |= _slice(term, span if term.name in _UNSLICED else span & ~special)
        for term in self.exclude:
            span = _span(term, special, roles, prompt_length)
            chosen &= ~_slice(term, span & ~special if term.is_slice else span)
        return chosen


def parse(text: str | Selector) -> Selector:
    """Read a selector.

    Raises:
        SelectorError: when the text is no selector, with the place where it stops to be one.
    """
    if isinstance(text, Selector):
        return text
    include: list[Term] = []
    exclude: list[Term] = []
    position, sign = 0, "+"
    while True:
        match = _TERM.match(text, position)
        if match is None:
            raise _unreadable(text, position, "a term")
        (include if sign == "+" else exclude).append(_term(match, text))
        position = match.end()
        if position == len(text):
            return Selector(tuple(include), tuple(exclude))
        sign = text[position]
        if sign not in "+-":
            raise _unreadable(text, position, "'+', '-' or the end")
        position += 1


def _term(match: re.Match[str], text: str) -> Term:
    name = _ALIASES.get(match["name"], match["name"])
    if name not in _NAMES:
        raise SelectorError(
            f"Unknown term {match['name']!r} in selector {text!r}; it is one of "
            f"{', '.join(sorted(_NAMES | set(_ALIASES)))}."
        )
    start, stop = (None if match[k] is None else int(match[k]) for k in ("start", "stop"))
    sliced = "[" in match.group()
    if sliced and name in _UNSLICED:
        raise SelectorError(f"{name!r} in selector {text!r} takes no slice.")
    if sliced and match["colon"] is None:
        if start is None or stop is not None:
            raise _unreadable(text, match.start(), "an index or a slice between the brackets")
        stop = None if start == -1 else start + 1
    if max(abs(start or 0), abs(stop or 0)) > _LARGEST:
        raise SelectorError(f"A position in selector {text!r} is beyond any text.")
    return Term(name, start, stop)


def _span(term: Term, special: Mask, roles: list[str], prompt_length: int) -> Mask:
    """All tokens of a term, special ones included, before it is sliced."""
    if term.name == "special":
        return special
    if term.name in _ROLES:
        return np.array([role == term.name for role in roles], dtype=bool)
    start = {"response": prompt_length, "last": max(prompt_length - 1, 0)}.get(term.name, 0)
    stop = prompt_length if term.name in ("prompt", "last") else len(special)
    span = np.zeros(len(special), dtype=bool)
    span[start:stop] = True
    return span


def _slice(term: Term, span: Mask) -> Mask:
    """The tokens of a span that the term's slice leaves."""
    if not term.is_slice:
        return span
    chosen = np.zeros_like(span)
    chosen[np.flatnonzero(span)[term.start : term.stop]] = True
    return chosen


def _unreadable(text: str, position: int, wanted: str) -> SelectorError:
    return SelectorError(
        f"Selector {text!r} cannot be read at character {position + 1}: expected {wanted}, as in "
        "'response[0:8] + last - user'."
    )
