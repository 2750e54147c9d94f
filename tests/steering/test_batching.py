"""Batches of rows: every row once, within the limits, and of one length where asked."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.steering.batching import buckets, pad

LENGTHS = st.lists(st.integers(1, 12), max_size=30)


@given(LENGTHS, st.integers(1, 60), st.one_of(st.none(), st.integers(1, 5)), st.booleans())
def test_buckets(lengths: list[int], budget: int, most: int | None, one_length: bool) -> None:
    batches = list(buckets(lengths, budget, most, one_length=one_length))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        here = [lengths[i] for i in batch]
        assert len(batch) == 1 or len(batch) * max(here) <= budget
        assert most is None or len(batch) <= most
        assert not one_length or len(set(here)) == 1
    # None is smaller than it has to be: the first row of the next batch would not have fitted.
    for batch, after in pairwise(batches):
        longer = lengths[after[0]]
        over = (len(batch) + 1) * longer > budget or len(batch) == most
        assert over or (one_length and longer != lengths[batch[0]])


@given(LENGTHS, st.integers(1, 60), st.integers(1, 4))
def test_rows_apart_share_no_batch(lengths: list[int], budget: int, kinds: int) -> None:
    apart = [i % kinds for i in range(len(lengths))]
    batches = list(buckets(lengths, budget, apart=apart))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len({apart[i] for i in batch}) == 1 for batch in batches)
    for batch, after in pairwise(batches):
        over = (len(batch) + 1) * lengths[after[0]] > budget
        assert over or apart[after[0]] != apart[batch[0]]


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=5))
def test_padding_keeps_tokens_and_counts_positions(rows: list[list[int]]) -> None:
    for side in ("left", "right"):
        batch = pad(rows, 0, side, torch.device("cpu"))
        assert (batch.mask is None) == (len({len(row) for row in rows}) == 1)
        for i, row in enumerate(rows):
            kept = batch.attention[i].bool()
            assert batch.ids[i, kept].tolist() == row
            assert batch.positions[i, kept].tolist() == list(range(len(row)))
            assert not batch.ids[i, ~kept].any()
