"""Which forwards read many rows: batches of similar length, and common starts read once.

Rows that begin alike are read in two forwards: the start once for all of them, into a cache, and
then what each row has behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selfsteer.steering.batching import buckets, pad
from selfsteer.steering.cache import decoding_cache
from selfsteer.steering.common_starts import Start, common_starts
from selfsteer.steering.model import Student
from selfsteer.steering.selectors import Mask

# A second forward and a cache cost something too: starts are shared where that spares this much of
# the tokens of their rows.
WORTHWHILE = 0.2


@dataclass(frozen=True)
class Forward:
    """One forward of B lines of T tokens, of which R rows are read.

    Attributes:
        ids: [B, T] token ids.
        chosen: [R, T] the selected tokens of each row among these.
        lines: [R] which line holds each row.
        attention: [B, S] 1 for tokens and 0 for pads of all tokens so far; None where nothing that
            a token sees is a pad.
        positions: [B, T] of each token in its row; None where a line begins with its row.
        cache: what these tokens go on from, and are added to; None for one forward alone.
    """

    ids: Tensor
    chosen: Mask
    lines: NDArray[np.int64]
    attention: Tensor | None = None
    positions: Tensor | None = None
    cache: Any = None

    @property
    def needed(self) -> Mask:
        """[B, T], the tokens of the lines that some row has selected."""
        out = np.zeros(tuple(self.ids.shape), dtype=bool)
        np.logical_or.at(out, self.lines, self.chosen)
        return out


class Reading(NamedTuple):
    """Rows that are read together.

    Attributes:
        rows: [R] their numbers.
        forwards: what reads them; each has to be run before the next one is taken.
    """

    rows: NDArray[np.int64]
    forwards: Iterator[Forward]


def readings(
    student: Student, rows: Sequence[Sequence[int]], masks: Sequence[Mask], token_budget: int
) -> Iterator[Reading]:
    """Every row in one reading.

    Args:
        rows: token ids of each row.
        masks: the selected tokens of each row.
        token_budget: tokens per forward, pads included.
    """
    sharing = not student.recurrent and student.cache_argument is not None
    starts = _worthwhile(student, rows) if sharing else []
    shared = {number for start in starts for number in start.rows}
    alone = [number for number in range(len(rows)) if number not in shared]
    lengths = [len(rows[number]) for number in alone]
    rotations = [student.rotation(length) for length in lengths]
    for places in buckets(lengths, token_budget, apart=rotations):
        numbers = [alone[place] for place in places]
        yield Reading(np.array(numbers), _at_once(student, rows, masks, numbers))
    for several in _batched(student, starts, rows, token_budget):
        numbers = [number for start in several for number in start.rows]
        yield Reading(np.array(numbers), _in_two(student, rows, masks, several))


def _worthwhile(student: Student, rows: Sequence[Sequence[int]]) -> list[Start]:
    def is_worthwhile(start: Start) -> bool:
        tokens = sum(len(rows[number]) for number in start.rows)
        # What is read before a row comes to other rotary factors would have been turned by those.
        turned_alike = student.rotation(start.length, _tail(start, rows)) <= 0
        return turned_alike and start.spared >= WORTHWHILE * tokens

    return [start for start in common_starts(rows) if is_worthwhile(start)]


def _at_once(
    student: Student, rows: Sequence[Sequence[int]], masks: Sequence[Mask], numbers: Sequence[int]
) -> Iterator[Forward]:
    """Rows padded on the right: with causal attention no token sees a later pad."""
    ids = pad([rows[n] for n in numbers], student.pad_id, "right", student.device).ids
    chosen = _stacked([masks[n] for n in numbers], ids.shape[1])
    yield Forward(ids, chosen, np.arange(len(numbers)))


def _batched(
    student: Student, starts: Sequence[Start], rows: Sequence[Sequence[int]], token_budget: int
) -> Iterator[list[Start]]:
    """Starts of similar length together, within the budget; large groups in parts.

    Pads count as tokens where a family numbers its keys, so the longest start of a batch has room
    in the context for the longest tail.
    """
    context = student.context_length
    batch: list[Start] = []
    tokens = longest = 0
    for start in sorted(_parts(starts, rows, token_budget), key=lambda start: start.length):
        size, tail = _size(start, rows), _tail(start, rows)
        full = tokens + size > token_budget
        full = full or (context is not None and start.length + max(longest, tail) > context)
        if batch:
            full = full or student.rotation(start.length) != student.rotation(batch[0].length)
        if batch and full:
            yield batch
            batch, tokens, longest = [], 0, 0
        batch.append(start)
        tokens, longest = tokens + size, max(longest, tail)
    if batch:
        yield batch


def _parts(
    starts: Sequence[Start], rows: Sequence[Sequence[int]], token_budget: int
) -> Iterator[Start]:
    for start in starts:
        tails = [len(rows[number]) - start.length for number in start.rows]
        room = max(1, token_budget - start.length)
        for places in buckets(tails, room):
            yield Start(tuple(start.rows[place] for place in places), start.length)


def _size(start: Start, rows: Sequence[Sequence[int]]) -> int:
    return start.length + len(start.rows) * _tail(start, rows)


def _tail(start: Start, rows: Sequence[Sequence[int]]) -> int:
    """Tokens of the longest row behind the start."""
    return max(len(rows[number]) for number in start.rows) - start.length


def _in_two(
    student: Student, rows: Sequence[Sequence[int]], masks: Sequence[Mask], starts: Sequence[Start]
) -> Iterator[Forward]:
    """The starts, and on their cache the rest of every row.

    Starts are padded on the left, so that what follows them follows at once, as attention that
    sees only the last tokens has to have it.
    """
    device = student.device
    begin = [rows[start.rows[0]][: start.length] for start in starts]
    before = pad(begin, student.pad_id, "left", device)
    members = [(line, n) for line, start in enumerate(starts) for n in start.rows]
    lines = np.array([line for line, _ in members])
    lengths = [starts[line].length for line, _ in members]
    cut = [(rows[n], masks[n], k) for (_, n), k in zip(members, lengths, strict=True)]
    after = pad([ids[k:] for ids, _, k in cut], student.pad_id, "right", device)
    longest = after.ids.shape[1]
    early = _stacked([mask[:k][::-1] for _, mask, k in cut], before.ids.shape[1])[:, ::-1]
    late = _stacked([mask[k:] for _, mask, k in cut], longest)
    cache = decoding_cache(student, longest)
    yield Forward(before.ids, early, lines, before.mask, before.positions, cache)
    each = torch.from_numpy(lines).to(device)
    cache.reorder_cache(each)
    positions = before.positions[each, -1:] + 1 + after.positions
    attention = None
    if before.mask is not None:
        attention = torch.cat([before.attention[each], after.attention], dim=1)
    yield Forward(after.ids, late, np.arange(len(members)), attention, positions, cache)


def _stacked(masks: Sequence[Mask], width: int) -> Mask:
    """[R, width], with nothing selected at the pads on the right."""
    out = np.zeros((len(masks), width), dtype=bool)
    for target, mask in zip(out, masks, strict=True):
        target[: len(mask)] = mask
    return out
