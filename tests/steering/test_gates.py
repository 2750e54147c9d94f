"""Gates: what they compare, how they are fitted, what they refuse, and that they decide by row."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.errors import PlanError, SelectorError
from selfsteer.steering.capture import capture
from selfsteer.steering.gates import Gate, similarity
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.scoring import option_logprobs
from tests.steering.students import BLOCKS, build_vector

PROMPTS = [Prompt.chat(text) for text in ("aaaa", "bb", "cacaca", "dbdb", "eeeeeee", "f")]


@given(st.integers(0, 2**31))
def test_similarity_is_that_of_the_projection(seed: int) -> None:
    """sim(h, proj_c h) with proj_c h = (c c^T / c.c) h, as Lee et al. write it."""
    generator = torch.Generator().manual_seed(seed)
    h, c = torch.randn(2, 9, generator=generator, dtype=torch.float64)
    projection = torch.outer(c, c) @ h / (c @ c)
    unsigned = torch.nn.functional.cosine_similarity(h, projection, dim=0)
    signed = torch.nn.functional.cosine_similarity(h, c, dim=0)
    unit = c / c.norm()
    torch.testing.assert_close(similarity(h, unit, False)[0], unsigned)
    torch.testing.assert_close(similarity(h, unit, True)[0], signed)


def test_several_layers_open_a_gate_if_one_passes(llama: Student) -> None:
    vector, layers = build_vector(llama, seed=7), (-1, 0, 1)
    values = capture(llama, PROMPTS, layers, "prompt").values
    each = torch.stack(
        [
            Gate(vector, (k,), 0.0, signed=True).scores(values[i : i + 1])
            for i, k in enumerate(layers)
        ]
    )
    assert Gate(vector, layers, 0.0, signed=True).scores(values).equal(each.amax(0))
    assert Gate(vector, layers, 0.0, above=False, signed=True).scores(values).equal(each.amin(0))


@pytest.mark.parametrize("swapped", [False, True])
def test_a_fitted_gate_opens_for_one_side_only(llama: Student, swapped: bool) -> None:
    """End to end: prompts of two kinds, a gate fitted on their activations, steering by it."""
    kinds = [[Prompt.chat(c * n) for n in range(2, 10)] for c in "az"]
    opening, closing = reversed(kinds) if swapped else kinds
    layers = (1,)
    means = [capture(llama, side, layers, "prompt").values.mean(1)[0] for side in kinds]
    condition = replace(
        build_vector(llama), directions={1: means[0] - means[1]}, residual_norms={1: 1}
    )
    gate = Gate.fit(
        condition,
        layers,
        capture(llama, opening, layers, "prompt").values,
        capture(llama, closing, layers, "prompt").values,
        criterion="youden",
        signed=True,
    )
    assert gate.above is not swapped
    plan = Plan.single(build_vector(llama, seed=2), 1, 1.0, gate=gate)
    prompts = [*opening, *closing]
    bare = option_logprobs(llama, prompts, ["x", "y"])
    steered = option_logprobs(llama, prompts, ["x", "y"], plan)
    moved = (steered - bare).abs().amax(-1) > 0
    assert moved.tolist() == [True] * len(opening) + [False] * len(closing)


def test_what_a_gate_refuses(llama: Student) -> None:
    vector = build_vector(llama)
    with pytest.raises(PlanError, match="names no layer"):
        Gate(vector, (), 0.5)
    with pytest.raises(PlanError, match=f"has no direction for layer {BLOCKS}"):
        Gate(vector, (0, BLOCKS), 0.5)
    for threshold in (math.nan, math.inf):
        with pytest.raises(PlanError, match="threshold of a gate is"):
            Gate(vector, (0,), threshold)
    with pytest.raises(SelectorError, match="Unknown term 'reply'"):
        Gate(vector, (0,), 0.5, selector="reply")


def test_a_gate_with_nothing_to_read_is_refused(llama: Student) -> None:
    """The reply is no part of what a gate reads, so it must find tokens in the prompt."""
    vector = build_vector(llama)
    for selector in ("response", "system"):
        edit = Edit(vector, (1,), 1.0, gate=Gate(vector, (0,), 0.5, selector=selector))
        with pytest.raises(SelectorError, match="matches no token of a prompt of"):
            generate(llama, [Prompt.chat("ab")], Plan((edit,)))
