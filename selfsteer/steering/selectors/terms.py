"""The terms of a selector, and which tokens of a row each of them picks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from selfsteer.errors import SelectorError
from selfsteer.steering.encoding import Encoded
from selfsteer.steering.spelling import Spelling

Mask = NDArray[np.bool_]
Range = tuple[int | None, int | None]
Pattern = tuple[int, ...]

NAMES = (
    *("all", "prompt", "response", "generated", "system", "user", "assistant"),
    *("position", "last", "special"),
)
ROLES = frozenset({"system", "user", "assistant"})
# These name tokens one by one: they match whatever stands there and have no parts.
BARE = frozenset({"last", "special"})
# What a reply makes longer: its end is not known while the student still speaks.
_GROWING = frozenset({"all", "response", "generated", "assistant", "position"})
_UNKNOWN = -1  # stands for a token whose id is not known or may not be matched


@dataclass(frozen=True)
class View:
    """A row of T tokens as terms look at it.

    Attributes:
        ids: [T].
        special: [T], special tokens and scaffolding.
        roles: [T].
        prompt_length: tokens of the prompt.
        given: tokens that the student did not write itself.
        spelling: how the student's tokenizer writes texts, where it is known.
    """

    ids: NDArray[np.int64]
    special: Mask
    roles: NDArray[np.str_]
    prompt_length: int
    given: int
    spelling: Spelling | None

    @classmethod
    def of(cls, row: Encoded) -> View:
        """A row as it stands."""
        return cls(
            np.array(row.ids, dtype=np.int64),
            np.array(row.special, dtype=bool),
            np.array(row.roles, dtype=np.str_),
            row.prompt_length,
            row.prompt_length if row.given is None else row.given,
            row.spelling,
        )

    def with_reply(self, count: int) -> View:
        """The row with `count` ordinary tokens of a reply, and a special one, behind it."""
        more = count + 1
        return View(
            np.concatenate([self.ids, np.full(more, _UNKNOWN)]),
            np.concatenate([self.special, np.arange(more) == count]),
            np.concatenate([self.roles, np.full(more, "assistant")]),
            self.prompt_length,
            self.given,
            self.spelling,
        )


@dataclass(frozen=True)
class Set:
    """A named set of tokens, or a part of it.

    Attributes:
        name: one of `NAMES`.
        start, stop: the slice, as in Python; None and None for the whole.
        turns: of a role, which of its turns, as a slice; None for all.
    """

    name: str
    start: int | None = None
    stop: int | None = None
    turns: Range | None = None

    @property
    def is_slice(self) -> bool:
        """Whether only some tokens of the set are meant."""
        return self.start is not None or self.stop is not None

    @property
    def needs_end(self) -> bool:
        """Whether the meaning depends on where the reply ends."""
        bounds = (self.start, self.stop, *(self.turns or ()))
        return self.name in _GROWING and any((bound or 0) < 0 for bound in bounds)

    @property
    def key(self) -> tuple[Any, ...]:
        """Where the term stands in the canonical order."""
        bounds = (*(self.turns or (None, None)), self.start, self.stop)
        return (0, NAMES.index(self.name), *((bound is not None, bound or 0) for bound in bounds))

    def __str__(self) -> str:
        turns = "" if self.turns is None else f"[turn {_colon(self.turns)}]"
        sliced = self.is_slice or self.name == "position"
        return self.name + turns + (f"[{_colon((self.start, self.stop))}]" if sliced else "")

    def picks(self, view: View, *, excluding: bool = False) -> Mask:
        """Bool [T]; a whole set that is taken away takes its special tokens too."""
        span = self._span(view)
        bare = self.name in BARE or self.name == "position"
        if not bare and (self.is_slice or not excluding):
            span = span & ~view.special
        if not self.is_slice:
            return span
        chosen = np.zeros_like(span)
        chosen[np.flatnonzero(span)[self.start : self.stop]] = True
        return chosen

    def _span(self, view: View) -> Mask:
        """All tokens of the set, special ones included."""
        if self.name == "special":
            return view.special
        if self.name in ROLES:
            return _turns(view.roles == self.name, self.turns)
        starts = {
            "response": view.prompt_length,
            "generated": view.given,
            "last": max(view.prompt_length - 1, 0),
        }
        span = np.zeros(len(view.ids), dtype=bool)
        stop = view.prompt_length if self.name in ("prompt", "last") else None
        span[starts.get(self.name, 0) : stop] = True
        return span


@dataclass(frozen=True)
class TokenId:
    """Every token with an id, special or not: an id names that very token."""

    id: int

    needs_end = False

    @property
    def key(self) -> tuple[Any, ...]:
        """Where the term stands in the canonical order."""
        return (1, self.id)

    def __str__(self) -> str:
        return f"id:{self.id}"

    def picks(self, view: View, *, excluding: bool = False) -> Mask:
        """Bool [T], the same whether added or taken away."""
        chosen: Mask = view.ids == self.id
        return chosen

    def patterns(self, _spelling: Spelling | None) -> tuple[Pattern, ...]:
        """The sequences of ids whose last token matches in a response."""
        return ((self.id,),)


@dataclass(frozen=True)
class Text:
    """Every place that holds the tokens of a text.

    The text of a special token names it; other texts do not match in scaffolding.
    """

    text: str

    needs_end = False

    @property
    def key(self) -> tuple[Any, ...]:
        """Where the term stands in the canonical order."""
        return (2, self.text)

    def __str__(self) -> str:
        return json.dumps(self.text, ensure_ascii=False)

    def picks(self, view: View, *, excluding: bool = False) -> Mask:
        """Bool [T], the same whether added or taken away.

        Raises:
            SelectorError: when the row does not know its tokenizer, or that has no such tokens.
        """
        patterns = self.patterns(view.spelling)
        assert view.spelling is not None
        ids = matchable(view.ids, view.special, view.spelling)
        chosen = np.zeros(len(ids), dtype=bool)
        for pattern in patterns:
            if len(pattern) > len(ids):
                continue
            ends = np.flatnonzero((sliding_window_view(ids, len(pattern)) == pattern).all(axis=1))
            ends += len(pattern) - 1
            chosen[ends] = True
            for back in range(1, len(pattern)):
                chosen[ends[ends < view.prompt_length] - back] = True
        return chosen

    def patterns(self, spelling: Spelling | None) -> tuple[Pattern, ...]:
        """The sequences of ids whose last token matches in a response.

        Raises:
            SelectorError: when the tokenizer is not known, or has no tokens for the text.
        """
        if spelling is None:
            raise SelectorError(
                f"The text {self} in a selector needs the student's tokenizer, which this row does "
                "not know; make rows with encode()."
            )
        return spelling.ways(self.text)


Term = Set | TokenId | Text


def matchable(ids: NDArray[np.int64], special: Mask, spelling: Spelling) -> NDArray[np.int64]:
    """The ids of a row that texts are looked for in: scaffolding is left out."""
    scaffold = special & ~np.isin(ids, list(spelling.special))
    return np.where(scaffold, _UNKNOWN, ids)


def canonical(terms: Iterable[Term]) -> tuple[Term, ...]:
    """The terms in a fixed order, none twice."""
    return tuple(sorted(set(terms), key=lambda term: term.key))


def _turns(own: Mask, turns: Range | None) -> Mask:
    """The tokens of a role in some of its turns, a turn being a run of them."""
    if turns is None:
        return own
    starts = own.copy()
    starts[1:] &= ~own[:-1]
    first, stop, _ = slice(*turns).indices(int(np.count_nonzero(starts)))
    number = np.cumsum(starts) - 1
    chosen: Mask = own & (number >= first) & (number < stop)
    return chosen


def _colon(bounds: Range) -> str:
    return ":".join("" if bound is None else str(bound) for bound in bounds)
