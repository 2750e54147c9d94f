"""Rows that begin alike: which of them to read together, so that the beginning is read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Start(NamedTuple):
    """Rows with a common start.

    Attributes:
        rows: their numbers, two or more.
        length: how many tokens they begin with in common; every row has at least one more.
    """

    rows: tuple[int, ...]
    length: int

    @property
    def spared(self) -> int:
        """Tokens that need not be read again."""
        return (len(self.rows) - 1) * self.length


@dataclass
class _Node:
    """Rows that have `length` tokens in common: in groups so far, or loose."""

    length: int
    loose: list[int]
    starts: list[Start] = field(default_factory=list)

    def take(self, other: _Node) -> None:
        self.loose += other.loose
        self.starts += other.starts

    def close(self) -> None:
        """Read what is loose as one group, with such groups as spare less by themselves."""
        small = [s for s in self.starts if len(s.rows) * self.length > s.spared]
        rows = (*self.loose, *(number for start in small for number in start.rows))
        joined = Start(rows, self.length)
        if len(rows) > 1 and joined.spared > sum(start.spared for start in small):
            kept = [start for start in self.starts if start not in small]
            self.starts, self.loose = [*kept, joined], []


def common_starts(rows: Sequence[Sequence[int]]) -> list[Start]:
    """Disjoint groups of rows by common start that spare many tokens together.

    Groups do not nest: a start is read once for its group, and the rest of each row by itself.
    Sorted rows with the lengths that neighbours share are a tree of all common starts (Abouelhoda,
    Kurtz and Ohlebusch, 2004); it is walked once from the leaves up, and a shorter start takes over
    the rows of longer ones where it spares more.

    Args:
        rows: all of one kind of sequence (lists, arrays), as they are compared with each other.
    """
    if not rows:
        return []
    order = sorted(range(len(rows)), key=rows.__getitem__)  # type: ignore[arg-type]
    arrays = [np.asarray(rows[number]) for number in order]
    longest = max(map(len, rows))
    stack = [_Node(longest, [order[0]])]
    for before, row, number in zip(arrays, arrays[1:], order[1:], strict=False):
        _close_below(stack, _shared(before, row))
        stack.append(_Node(longest, [number]))
    _close_below(stack, 0)
    return stack[0].starts


def _close_below(stack: list[_Node], shared: int) -> None:
    """Close what has more tokens in common than the next row shares, up to a node that has not."""
    while stack[-1].length > shared:
        done = stack.pop()
        done.close()
        if stack and stack[-1].length >= shared:
            stack[-1].take(done)
        else:
            done.length = shared
            stack.append(done)


def _shared(one: NDArray[Any], other: NDArray[Any]) -> int:
    """How many tokens two rows begin with in common, leaving each at least one."""
    most = min(len(one), len(other)) - 1
    differ = np.flatnonzero(one[:most] != other[:most])
    return int(differ[0]) if len(differ) else most
