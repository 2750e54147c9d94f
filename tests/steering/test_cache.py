"""The buffered cache holds what transformers' own does, value for value."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from selfsteer.errors import StudentError
from selfsteer.steering.cache import can_be_stacked, check_used, decoding_cache, stacked
from tests.steering.families import family_student
from tests.steering.students import build_student

# New tokens of each step; 0 stands for a choice of rows, with repeats.
STEPS = st.lists(st.integers(0, 20), min_size=1, max_size=12)


def filled(cache: Any, steps: list[int], rows: int) -> list[Any]:
    """What the layers hand out at each step, fed with the same random states."""
    generator = torch.Generator().manual_seed(0)
    seen = []
    for new in steps:
        if new == 0:
            index = torch.randint(rows, (1 + 7 * rows % 40,), generator=generator)
            cache.reorder_cache(index)
            rows = len(index)
            continue
        for layer in range(len(cache.layers)):
            keys, values = torch.randn(2, rows, 2, new, 4, generator=generator)
            seen.append([t.clone() for t in cache.update(keys, values, layer)])
        seen.append([torch.tensor(cache.get_seq_length())])
    return seen


@settings(max_examples=50)
@given(
    STEPS,
    st.sampled_from(["llama", "mistral", "gemma2"]),
    st.integers(0, 40),
    st.sampled_from([2, 20]),  # few, with all their room, or enough to lie close together
)
def test_states_are_those_of_transformers(
    steps: list[int], name: str, room: int, rows: int
) -> None:
    student = family_student(name)  # full attention, a sliding window, both
    steps = [5, *steps]
    ours = filled(decoding_cache(student, room), steps, rows)
    theirs = filled(DynamicCache(config=student.model.config), steps, rows)
    for mine, other in zip(ours, theirs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, other, strict=True))


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 24)), min_size=1, max_size=4),
    st.lists(st.integers(1, 20), min_size=1, max_size=4),
    st.sampled_from(["llama", "mistral", "gemma2"]),
    st.integers(0, 8),
)
def test_rows_read_apart_are_as_if_read_together(
    parts: list[tuple[int, int]], steps: list[int], name: str, room: int
) -> None:
    """Read in parts of some rows and tokens, then fed with `steps` together."""
    student = family_student(name)
    generator = torch.Generator().manual_seed(0)
    together = DynamicCache(config=student.model.config)
    parts = sorted(parts, key=lambda part: part[1])
    rows, lengths = zip(*parts, strict=True)
    apart = [decoding_cache(student, room) for _ in parts]
    for layer in range(len(together.layers)):
        keys, values = torch.randn(2, sum(rows), 2, lengths[-1], 4, generator=generator)
        for states in (keys, values):
            for part, length in zip(states.split(rows), lengths, strict=True):
                part[:, :, : lengths[-1] - length] = 0
        together.update(keys, values, layer)
        for cache, length, *states in zip(
            apart, lengths, keys.split(rows), values.split(rows), strict=True
        ):
            cache.update(*(part[:, :, lengths[-1] - length :] for part in states), layer)
    ours = stacked(apart)
    assert ours.get_seq_length() == together.get_seq_length()
    for new in steps:
        for layer in range(len(together.layers)):
            keys, values = torch.randn(2, sum(rows), 2, new, 4, generator=generator)
            expected = together.update(keys, values, layer)
            found = ours.update(keys, values, layer)
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        assert ours.get_seq_length() == together.get_seq_length()


def test_layers_without_states_are_stacked_too() -> None:
    """Those that share keys and values with others."""
    student = build_student("llama")
    assert stacked([decoding_cache(student, 4), decoding_cache(student, 4)]).get_seq_length() == 0


@pytest.mark.parametrize(("name", "can"), [("mistral", True), ("gemma2", True), ("mamba", False)])
def test_caches_that_can_be_stacked(name: str, can: bool) -> None:
    assert can_be_stacked(decoding_cache(family_student(name), 4)) is can


@pytest.mark.parametrize("name", ["llama", "mistral"])
def test_what_would_pass_the_buffers_by_is_refused(name: str) -> None:
    cache = decoding_cache(family_student(name), 4)
    cache.update(*torch.randn(2, 2, 2, 3, 4), 0)
    changes = (
        lambda: cache.crop(-1),
        lambda: cache.batch_repeat_interleave(2),
        lambda: cache.batch_select_indices(torch.tensor([0])),
        cache.reset,
    )
    for change in changes:
        with pytest.raises(StudentError, match="taken out of the cache"):
            change()


def test_students_without_such_a_cache_are_refused() -> None:
    with pytest.raises(StudentError, match=r"tiny-rwkv \(RwkvForCausalLM\) keeps its state"):
        decoding_cache(family_student("rwkv"), 4)


@pytest.mark.parametrize("name", ["mamba", "jamba", "recurrent-gemma"])
def test_a_layer_that_stays_empty_is_noticed(name: str) -> None:
    student = family_student(name)
    cache = decoding_cache(student, 4)
    with pytest.raises(StudentError, match="keeps its state outside transformers' cache"):
        check_used(student, cache)
    arguments = {str(student.cache_argument): cache}
    with torch.inference_mode():
        student.model(torch.tensor([[1, 20, 30]]), use_cache=True, **arguments)
    if name != "recurrent-gemma":
        check_used(student, cache)
        return
    with pytest.raises(StudentError, match="keeps its state outside transformers' cache"):
        check_used(student, cache)


def test_other_students_may_leave_layers_empty() -> None:
    """Layers that share keys and values with others store none of their own."""
    student = build_student("llama")
    check_used(student, decoding_cache(student, 4))
