"""Where the rows of a batch are edited: every selector of every plan, over prompt and reply.

A row's first selector has slot 0, its second slot 1, and so on, so that a batch whose rows have
one selector each needs one mask, whatever the selectors are. All of this is known before the
first forward, apart from what the sampled tokens are: whether they are special, and whether they
are those that a selector names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import starmap

import numpy as np
from numpy.typing import NDArray

from selfsteer.steering.batching import Side
from selfsteer.steering.editing.endings import Endings
from selfsteer.steering.editing.said import Index, Said
from selfsteer.steering.encoding import Encoded
from selfsteer.steering.selectors import Mask, Rule, parse
from selfsteer.steering.selectors.selector import may_match


class MaskTable:
    """Masks of all rows for one slot.

    Args:
        rows: the rows, in the order of the plans.
        selectors: each row's selector in this slot, None where it has none.
        reply_tokens: how many tokens the student may add to each row. Where it may add any, all
            that a row already holds was given to it, unless the row says otherwise.

    Raises:
        SelectorError: a selector that counts from the end, when there is a reply to come; a text
            that the student's vocabulary cannot write.
    """

    def __init__(
        self, rows: Sequence[Encoded], selectors: Sequence[str | None], reply_tokens: int
    ) -> None:
        self.used = np.array([s is not None for s in selectors], dtype=bool)
        # A row without this slot has no edit here, so its mask may be True: a batch in which all
        # other rows are edited everywhere then needs no mask at all.
        unused = (
            replace(_nothing(reply_tokens), plain=np.ones(reply_tokens, bool), special=True),
            _nothing(reply_tokens),
        )
        self.known = [np.zeros(0, dtype=bool)] * len(rows)
        rules = [unused] * len(rows)
        done: dict[tuple[str, int], int] = {}
        for i, (text, row) in enumerate(zip(selectors, rows, strict=True)):
            if text is None:
                continue
            # The same prompt often stands in many rows; its masks are worked out once.
            first = done.setdefault((text, id(row)), i)
            if first == i:
                self.known[i], rules[i] = _worked_out(text, row, reply_tokens)
            else:
                self.known[i], rules[i] = self.known[first], rules[first]
        self._reply = _ReplyTable(rows, rules)

    @property
    def memory(self) -> int:
        """How many ids of a reply must be remembered to tell what the next one completes."""
        return self._reply.memory

    def touches_known(self, row: int) -> bool:
        """Whether any known token of a row is selected."""
        return bool(self.known[row].any())

    def touches(self, row: int) -> bool:
        """Whether any token of a row is selected, or may be once there is a reply."""
        return bool(self.used[row]) and (self.touches_known(row) or self._reply.touches(row))

    def over_rows(self, chosen: Index, side: Side, width: int) -> Mask:
        """[B, T] over whole rows, padded to T = `width`; pads are never selected."""
        out = np.zeros((len(chosen), width), dtype=bool)
        for target, i in zip(out, chosen, strict=True):
            mask = self.known[i]
            if side == "left":
                target[width - len(mask) :] = mask
            else:
                target[: len(mask)] = mask
        return out

    def over_reply(self, chosen: Index, before: Said, ids: Index, special: Mask) -> Mask:
        """[B, T] over reply tokens.

        Args:
            before: what each row has said.
            ids: [B, T] what it says now.
            special: [B, T] which of these tokens are special.
        """
        return self._reply.mask(chosen, before, ids, special)


class _ReplyTable:
    """The rules of R rows as arrays; what is picked comes first, what is taken away second."""

    def __init__(self, rows: Sequence[Encoded], rules: Sequence[tuple[Rule, Rule]]) -> None:
        # [2, R, count] and [2, R]
        plain = np.array([[rule.plain for rule in side] for side in zip(*rules, strict=True)])
        special = np.array([[rule.special for rule in side] for side in zip(*rules, strict=True)])
        places = np.array([[rule.places for rule in side] for side in zip(*rules, strict=True)])
        self._endings = None
        if any(rule.endings for pair in rules for rule in pair):
            self._endings = Endings(rows, rules)
        self._places = places if places.any() else None
        self._simple = self._endings is None and self._places is None
        if self._simple:
            # Nothing depends on which tokens come: the difference is taken once, here.
            plain, special = plain[0] & ~plain[1], special[0] & ~special[1]
        self._plain, self._special = plain, special
        self._may = [bool(plain.any() or special) for plain, special in starmap(may_match, rules)]

    @property
    def memory(self) -> int:
        return 0 if self._endings is None else self._endings.memory

    def touches(self, row: int) -> bool:
        return self._may[row]

    def mask(self, chosen: Index, before: Said, ids: Index, special: Mask) -> Mask:
        place = before.ordinary[:, None] + np.cumsum(~special, axis=1) - 1
        np.maximum(place, 0, out=place)
        rows = chosen[:, None]
        if self._simple:
            return np.where(special, self._special[rows], self._plain[rows, place])
        found: NDArray[np.bool_] = np.where(
            special, self._special[:, rows], self._plain[:, rows, place]
        )
        if self._places is not None:
            found |= self._places[:, rows, before.total + np.arange(ids.shape[1])]
        if self._endings is not None:
            found |= self._endings.found(chosen, before, ids)
        difference: Mask = found[0] & ~found[1]
        return difference


def _worked_out(text: str, row: Encoded, reply_tokens: int) -> tuple[Mask, tuple[Rule, Rule]]:
    """What a selector picks of a row, and its rules for the reply to come."""
    selector = parse(text)
    if reply_tokens and row.given is None:
        row = replace(row, given=len(row.ids))
    rules = selector.rules(row, reply_tokens) if reply_tokens else (_nothing(0), _nothing(0))
    return selector.mask(row), rules


def _nothing(count: int) -> Rule:
    """Picks nothing of a reply of `count` tokens."""
    nothing = np.zeros(count, dtype=bool)
    return Rule(nothing, False, nothing, ())
