"""Masks and shares mean the same over whole rows and over replies that grow."""

from __future__ import annotations

from typing import Literal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.steering.editing.said import Said
from selfsteer.steering.editing.slots import Pair, SlotTable
from selfsteer.steering.encoding import Encoded
from selfsteer.steering.schedules import Schedule

schedules = st.none() | st.builds(
    Schedule, st.sampled_from(["linear", "exponential", "first"]), st.integers(1, 6)
)
selectors = st.sampled_from(
    ["all", "response[1:4]", "all + special", "user + response - response[2]"]
)
# Which tokens of the prompt and of the reply are special ones.
flags = st.lists(st.booleans(), min_size=1, max_size=8)


def row_of(prompt: list[bool], reply: list[bool]) -> Encoded:
    special = prompt + reply
    roles = ["user"] * len(prompt) + ["assistant"] * len(reply)
    return Encoded(list(range(len(special))), len(prompt), roles, special)


@given(
    st.lists(st.tuples(flags, selectors, schedules), min_size=1, max_size=4),
    st.lists(flags, min_size=4, max_size=4),
    st.integers(1, 8),
)
def test_a_reply_in_pieces_is_the_reply_in_whole_rows(
    given_rows: list[tuple[list[bool], str, Schedule | None]], replies: list[list[bool]], piece: int
) -> None:
    pairs = [Pair(selector, schedule) for _, selector, schedule in given_rows]
    length = min(map(len, replies))
    replies = [reply[:length] for reply in replies[: len(pairs)]]
    prompts = [prompt for prompt, _, _ in given_rows]
    whole = SlotTable([row_of(p, r) for p, r in zip(prompts, replies, strict=True)], pairs, 0)
    growing = SlotTable([row_of(p, []) for p in prompts], pairs, length)
    chosen = np.arange(len(pairs))
    special = np.array(replies)
    before = Said.nothing(len(pairs))
    masks, shares = [], []
    for start in range(0, length, piece):
        now = special[:, start : start + piece]
        mask, share = growing.over_reply(chosen, before, np.zeros(now.shape, dtype=np.int64), now)
        masks.append(mask)
        shares.append(np.ones(mask.shape) if share is None else share)
        before = before.then(np.zeros(now.shape, dtype=np.int64), now, growing.memory)
    width = max(map(len, prompts)) + length
    mask, share = whole.over_rows(chosen, "left", width)
    assert np.array_equal(np.concatenate(masks, axis=1), mask[:, -length:])
    if share is not None:
        assert np.array_equal(np.concatenate(shares, axis=1), share[:, -length:])


@given(flags, flags, selectors, schedules, st.sampled_from(["left", "right"]))
def test_padding_moves_and_never_edits(
    prompt: list[bool],
    reply: list[bool],
    selector: str,
    schedule: Schedule | None,
    side: Literal["left", "right"],
) -> None:
    row, pair = row_of(prompt, reply), Pair(selector, schedule)
    table, n = SlotTable([row], [pair], 0), len(row.ids)
    one = np.array([0])
    mask, share = table.over_rows(one, side, n)
    wide_mask, wide_share = table.over_rows(one, side, n + 3)
    inside = slice(3, None) if side == "left" else slice(0, n)
    assert np.array_equal(wide_mask[:, inside], mask)
    assert wide_mask.sum() == mask.sum()
    assert np.array_equal(mask[0], table.tokens(0)[:n])
    assert table.touches(0) == mask.any()
    if share is not None and wide_share is not None:
        assert np.array_equal(wide_share[:, inside], share)
        assert (share[0, : len(prompt)] == 1).all()
        assert (share[0][mask[0]] > 0).all()
