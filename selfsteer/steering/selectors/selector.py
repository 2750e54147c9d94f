"""A parsed selector: its masks over a row, and over a reply that is still to be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from selfsteer.errors import SelectorError
from selfsteer.steering.encoding import Encoded
from selfsteer.steering.selectors.terms import Mask, Pattern, Set, Term, View, canonical


@dataclass(frozen=True)
class Rule:
    """Which tokens of a reply a union of terms picks, said before the reply is known.

    Attributes:
        plain: Bool [count], whether its n-th ordinary token is picked.
        special: whether its special tokens are, which holds for all of them alike.
        places: Bool [count], whether its n-th token is picked, special or not.
        endings: sequences of ids; a token that completes one of them is picked.
    """

    plain: Mask
    special: bool
    places: Mask
    endings: tuple[Pattern, ...]


@dataclass(frozen=True)
class Selector:
    """The union of `include` without anything in `exclude`, in canonical form."""

    include: tuple[Term, ...]
    exclude: tuple[Term, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "include", canonical(self.include))
        object.__setattr__(self, "exclude", canonical(self.exclude))

    def __str__(self) -> str:
        kept = " + ".join(map(str, self.include))
        return kept + "".join(f" - {term}" for term in self.exclude)

    @property
    def needs_end(self) -> bool:
        """Whether the meaning depends on where the reply ends, so that it cannot steer one."""
        return any(term.needs_end for term in self.include + self.exclude)

    def mask(self, row: Encoded) -> Mask:
        """Bool [T], True for the selected tokens of one row (T tokens, without pads).

        Raises:
            SelectorError: a text that the student's vocabulary cannot write.
        """
        view = View.of(row)
        return _union(self.include, view) & ~_union(self.exclude, view, excluding=True)

    def rules(self, row: Encoded, count: int) -> tuple[Rule, Rule]:
        """What is picked, and what is taken away, of `count` tokens that follow `row`.

        Raises:
            SelectorError: when the selector counts from the end of the reply; a text that the
                student's vocabulary cannot write.
        """
        if self.needs_end:
            raise SelectorError(
                f"Selector '{self}' counts from the end of a reply that is not finished; count "
                "from its start."
            )
        view = View.of(row).with_reply(count)
        return _rule(self.include, view, count), _rule(self.exclude, view, count, excluding=True)

    def reply_masks(self, row: Encoded, count: int) -> tuple[Mask, bool]:
        """What may be selected of `count` tokens that follow `row`, whatever they are.

        Returns:
            Bool [count], for the n-th ordinary token of the reply; and for its special ones. Both
            are exact where no term names a token id, a text or a `position`.

        Raises:
            SelectorError: as `rules` does.
        """
        return may_match(*self.rules(row, count))


def may_match(picked: Rule, taken: Rule) -> tuple[Mask, bool]:
    """Which tokens of a reply can be picked and not taken away, as `reply_masks` gives it."""
    # The n-th ordinary token stands at place n or, behind special ones, later.
    places = (picked.places & ~taken.places)[::-1]
    plain = picked.plain | np.logical_or.accumulate(places)[::-1]
    named = bool(set(picked.endings) - set(taken.endings))
    special = picked.special or bool(places.any()) or named
    return (plain | named) & ~taken.plain, special and not taken.special


def _union(terms: Sequence[Term], view: View, *, excluding: bool = False) -> Mask:
    chosen = np.zeros(len(view.ids), dtype=bool)
    for term in terms:
        chosen |= term.picks(view, excluding=excluding)
    return chosen


def _rule(terms: Sequence[Term], view: View, count: int, *, excluding: bool = False) -> Rule:
    """The rule of a union; `view` ends with `count` ordinary tokens and a special one."""
    sets = [term for term in terms if isinstance(term, Set)]
    counted = _union([t for t in sets if t.name != "position"], view, excluding=excluding)
    placed = _union([t for t in sets if t.name == "position"], view, excluding=excluding)
    start = len(view.ids) - count - 1
    endings = [t.patterns(view.spelling) for t in terms if not isinstance(t, Set)]
    return Rule(
        plain=counted[start:-1],
        special=bool(counted[-1]),
        places=placed[start:-1],
        endings=tuple(sorted({pattern for several in endings for pattern in several})),
    )
