"""Token sequences that are looked for while replies grow, for all rows of a batch at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from selfsteer.steering.editing.said import Index, Said
from selfsteer.steering.encoding import Encoded
from selfsteer.steering.selectors.selector import Rule
from selfsteer.steering.selectors.terms import Mask, matchable

_NO_TOKEN, _NEVER = -1, -2


class Endings:
    """For each of R rows, sequences of ids that are picked or taken away where they end.

    Args:
        rows: what is known of each row before its reply.
        rules: each row's rules, first what is picked, then what is taken away.
    """

    def __init__(self, rows: Sequence[Encoded], rules: Sequence[tuple[Rule, Rule]]) -> None:
        several = [[(p, out) for out in (0, 1) for p in pair[out].endings] for pair in rules]
        patterns = max(map(len, several), default=0)
        length = max((len(p) for row in several for p, _ in row), default=0)
        # Sequences stand at the right; what is left of them may be anything.
        self._ids = np.full((len(rows), patterns, length), _NEVER)
        self._free = np.zeros(self._ids.shape, dtype=bool)
        self._kind = np.zeros((len(rows), 2, patterns), dtype=bool)
        for r, row in enumerate(several):
            for p, (pattern, out) in enumerate(row):
                self._ids[r, p, length - len(pattern) :] = pattern
                self._free[r, p, : length - len(pattern)] = True
                self._kind[r, out, p] = True
        self.memory = max(length - 1, 0)
        self._known = np.stack([_tail(row, self.memory) for row in rows])

    def found(self, chosen: Index, before: Said, ids: Index) -> NDArray[np.bool_]:
        """[2, B, T]: which of the tokens end a sequence that is picked, and one taken away.

        Args:
            chosen: [B] the rows of the batch.
            before: what they said before.
            ids: [B, T] what they say now.
        """
        earlier = before.tail[:, max(before.tail.shape[1] - self.memory, 0) :]
        known = self._known[chosen, earlier.shape[1] :]
        behind = np.concatenate([known, earlier, ids], axis=1) if self.memory else ids
        width = ids.shape[1]
        window = np.stack([behind[:, at : at + width] for at in range(self.memory + 1)], axis=-1)
        same = (window[:, :, None] == self._ids[chosen, None]) | self._free[chosen, None]
        ends = same.all(axis=-1)
        found: NDArray[np.bool_] = (ends[:, None] & self._kind[chosen, :, None]).any(axis=-1)
        return found.swapaxes(0, 1)


def _tail(row: Encoded, count: int) -> Index:
    """The last `count` ids of a row that a text may begin with."""
    tail = np.full(count, _NO_TOKEN)
    if count and row.spelling is not None:
        special: Mask = np.array(row.special, dtype=bool)
        ids = matchable(np.array(row.ids, dtype=np.int64), special, row.spelling)[-count:]
        tail[count - len(ids) :] = ids
    return tail
