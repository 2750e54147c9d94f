"""Where and how much the rows of a batch are edited: selectors and schedules together.

A row's first pair of a selector and a schedule has slot 0, its second slot 1, and so on, so that
one mask and one table of shares serve a batch, whatever the pairs of its rows are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from selfsteer.steering.batching import Side
from selfsteer.steering.editing.masks import MaskTable
from selfsteer.steering.editing.said import Index, Said
from selfsteer.steering.encoding import Encoded
from selfsteer.steering.schedules import Schedule, Shares
from selfsteer.steering.selectors import Mask, parse


class Pair(NamedTuple):
    """A selector and the schedule of what it selects."""

    selector: str
    schedule: Schedule | None


class SlotTable:
    """Masks and shares of all rows for one slot.

    Args:
        rows: the rows, in the order of the plans.
        pairs: each row's pair in this slot, None where it has none.
        reply_tokens: how many tokens the student may add to each row.

    Raises:
        SelectorError: a selector that counts from the end, when there is a reply to come.
    """

    def __init__(
        self, rows: Sequence[Encoded], pairs: Sequence[Pair | None], reply_tokens: int
    ) -> None:
        selectors = [None if pair is None else pair.selector for pair in pairs]
        self._rows = rows
        self._pairs = pairs
        self._reply_tokens = reply_tokens
        self._masks = MaskTable(rows, selectors, reply_tokens)
        self.used = self._masks.used
        self._known: list[Shares] | None = None
        if any(pair is not None and pair.schedule is not None for pair in pairs):
            self._known = [_known_shares(r, p) for r, p in zip(rows, pairs, strict=True)]
            coming = np.arange(reply_tokens + 1)
            self._reply = np.array([_shares(pair, coming) for pair in pairs])

    @property
    def memory(self) -> int:
        """How many ids of a reply must be remembered to tell what the next one completes."""
        return self._masks.memory

    def touches_known(self, row: int) -> bool:
        """Whether any known token of a row is edited."""
        return self._masks.touches_known(row)

    def touches(self, row: int) -> bool:
        """Whether any token of a row is edited, or may be once there is a reply."""
        pair = self._pairs[row]
        if pair is None or pair.schedule is None:
            return self._masks.touches(row)
        return bool(self.tokens(row).any())  # a schedule may leave nothing of what is selected

    def tokens(self, row: int) -> Mask:
        """Bool [T + R + 1] which tokens of a row that has this slot are edited: the T known ones,
        the R ordinary ones that its reply may have, and, as one, the special ones."""
        pair = self._pairs[row]
        assert pair is not None
        selector = parse(pair.selector)
        held = self._rows[row]
        if self._reply_tokens and held.given is None:
            held = replace(held, given=len(held.ids))
        known = selector.mask(held) & (_known_shares(held, pair) != 0)
        if not self._reply_tokens:
            return np.append(known, False)
        plain, special = selector.reply_masks(held, self._reply_tokens)
        plain = plain & (_shares(pair, np.arange(self._reply_tokens)) != 0)
        return np.concatenate([known, plain, [special]])

    def over_rows(self, chosen: Index, side: Side, width: int) -> tuple[Mask, Shares | None]:
        """[B, T] over whole rows, padded to T = `width`: the mask, and the shares unless all 1."""
        mask = self._masks.over_rows(chosen, side, width)
        if self._known is None:
            return mask, None
        shares = np.ones(mask.shape, dtype=np.float32)
        for target, i in zip(shares, chosen, strict=True):
            known = self._known[i]
            start = width - len(known) if side == "left" else 0
            target[start : start + len(known)] = known
        return mask & (shares != 0), shares

    def over_reply(
        self, chosen: Index, before: Said, ids: Index, special: Mask
    ) -> tuple[Mask, Shares | None]:
        """[B, T] over reply tokens: the mask, and the shares unless all are 1.

        Args:
            before: what each row of the batch has said so far.
            ids: [B, T] the tokens.
            special: [B, T] which of the tokens are special.
        """
        mask = self._masks.over_reply(chosen, before, ids, special)
        if self._known is None:
            return mask, None
        index = before.ordinary[:, None] + np.cumsum(~special, axis=1) - ~special
        shares = self._reply[chosen[:, None], np.minimum(index, self._reply_tokens)]
        return mask & (shares != 0), shares


def _shares(pair: Pair | None, index: Index) -> Shares:
    if pair is None or pair.schedule is None:
        return np.ones(len(index), dtype=np.float32)
    return pair.schedule.shares(index)


def _known_shares(row: Encoded, pair: Pair | None) -> Shares:
    """[T] the share at each known token of a row."""
    ordinary = ~np.array(row.special, dtype=bool)
    ordinary[: row.prompt_length] = False
    shares = _shares(pair, np.cumsum(ordinary) - ordinary)
    shares[: row.prompt_length] = 1
    return shares
