"""The buffered cache holds what transformers' own does, value for value."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from selfsteer.errors import StudentError
from selfsteer.steering.cache import check_used, decoding_cache
from tests.steering.families import family_student
from tests.steering.students import build_student

# New tokens of each step; 0 stands for a choice of rows, with repeats.
STEPS = st.lists(st.integers(0, 20), min_size=1, max_size=12)


def filled(cache: Any, steps: list[int]) -> list[Any]:
    """What the layers hand out at each step, fed with the same random states."""
    generator = torch.Generator().manual_seed(0)
    rows, seen = 2, []
    for new in steps:
        if new == 0:
            index = torch.randint(rows, (1 + rows % 3,), generator=generator)
            cache.reorder_cache(index)
            rows = len(index)
            continue
        for layer in range(len(cache.layers)):
            keys, values = torch.randn(2, rows, 2, new, 4, generator=generator)
            seen.append([t.clone() for t in cache.update(keys, values, layer)])
        seen.append([torch.tensor(cache.get_seq_length())])
    return seen


@settings(max_examples=50)
@given(STEPS, st.sampled_from(["llama", "mistral", "gemma2"]), st.integers(0, 8))
def test_states_are_those_of_transformers(steps: list[int], name: str, room: int) -> None:
    student = family_student(name)  # full attention, a sliding window, both
    steps = [5, *steps]
    ours = filled(decoding_cache(student, room), steps)
    theirs = filled(DynamicCache(config=student.model.config), steps)
    for mine, other in zip(ours, theirs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, other, strict=True))


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
