"""What each row of a batch has said so far, as far as selectors look back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Said:
    """The replies of B rows before a forward; rows are taken out and reordered by indexing.

    Attributes:
        ordinary: [B] ordinary tokens of each reply.
        total: tokens of each reply, special ones included; the same for all rows.
        tail: [B, W] the last W ids of each reply, fewer where it is shorter.
    """

    ordinary: Index
    total: int
    tail: Index

    @classmethod
    def nothing(cls, rows: int) -> Said:
        """No row has said anything."""
        return cls(np.zeros(rows, dtype=np.int64), 0, np.zeros((rows, 0), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ordinary)

    def __getitem__(self, rows: Index) -> Said:
        return Said(self.ordinary[rows], self.total, self.tail[rows])

    def then(self, ids: Index, special: NDArray[np.bool_], keep: int) -> Said:
        """With T more tokens each.

        Args:
            ids: [B, T].
            special: [B, T] which of them are special.
            keep: how many ids the tail holds.
        """
        tail = self.tail
        if keep:
            tail = np.concatenate([tail, ids], axis=1)[:, -keep:]
        ordinary: Index = self.ordinary + np.count_nonzero(~special, axis=1)
        return Said(ordinary, self.total + ids.shape[1], tail)
