"""Where the rows of a batch are edited: every selector of every plan, over prompt and reply.

A row's first selector has slot 0, its second slot 1, and so on, so that a batch whose rows have
one selector each needs one mask, whatever the selectors are. All of this is known before the
first forward, apart from whether a sampled token is a special one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from selfsteer.steering.batching import Side
from selfsteer.steering.encoding import Encoded
from selfsteer.steering.selectors import Mask, parse

Index = NDArray[np.int64]


class MaskTable:
    """Masks of all rows for one slot.

    Args:
        rows: the rows, in the order of the plans.
        selectors: each row's selector in this slot, None where it has none.
        reply_tokens: how many tokens the student may add to each row.

    Raises:
        SelectorError: a selector that counts from the end, when there is a reply to come.
    """

    def __init__(
        self, rows: Sequence[Encoded], selectors: Sequence[str | None], reply_tokens: int
    ) -> None:
        self.used = np.array([s is not None for s in selectors], dtype=bool)
        nothing = np.zeros(0, dtype=bool)
        self.known = [nothing] * len(rows)
        # A row without this slot has no edit here, so its mask may be True: a batch in which all
        # other rows are edited everywhere then needs no mask at all.
        self._plain = np.ones((len(rows), reply_tokens), dtype=bool)
        self._special = np.ones(len(rows), dtype=bool)
        done: dict[tuple[str, int], int] = {}
        for i, (text, row) in enumerate(zip(selectors, rows, strict=True)):
            if text is None:
                continue
            # The same prompt often stands in many rows; its masks are worked out once.
            first = done.setdefault((text, id(row)), i)
            if first != i:
                self.known[i] = self.known[first]
                self._plain[i], self._special[i] = self._plain[first], self._special[first]
                continue
            selector = parse(text)
            self.known[i] = selector.mask(row)
            if reply_tokens:
                self._plain[i], self._special[i] = selector.reply_masks(row, reply_tokens)

    def touches_known(self, row: int) -> bool:
        """Whether any known token of a row is selected."""
        return bool(self.known[row].any())

    def touches(self, row: int) -> bool:
        """Whether any token of a row is selected, or may be once there is a reply."""
        reply = self._plain[row].any() or self._special[row]
        return bool(self.used[row]) and (self.touches_known(row) or bool(reply))

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

    def over_reply(self, chosen: Index, before: Index, special: Mask) -> Mask:
        """[B, T] over reply tokens.

        Args:
            before: [B] ordinary tokens of each row's reply so far.
            special: [B, T] which of the tokens are special.
        """
        place = before[:, None] + np.cumsum(~special, axis=1) - 1
        plain = self._plain[chosen[:, None], np.maximum(place, 0)]
        return np.where(special, self._special[chosen][:, None], plain)
