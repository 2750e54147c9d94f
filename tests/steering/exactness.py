"""What generation gives against what it must give, family by family, as numbers.

The tests hold these to their bounds, and `make conformance` prints them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from selfsteer.steering import decoding
from selfsteer.steering import generate as generation
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.operators import OPERATORS
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.prompts import Prompt
from tests.steering.students import (
    build_edits,
    build_vector,
    grown,
    reference_edit,
    reference_logits,
)

STEPS = 5
# Ragged, shorter and longer than a window, and two of one length.
PROMPTS = [Prompt.chat("ab" * n, system="s") for n in (1, 9, 3, 9)]

Logits = dict[int, list[Tensor]]


def plans_for(student: Student) -> list[Plan]:
    """Of each kind: none, everywhere, the embedding output, several edits on few tokens."""
    one, two = build_vector(student), build_vector(student, seed=1)
    return [
        Plan.none(),
        Plan.single(one, 1, 0.7),
        Plan.single(two, -1, 0.5, selector="all + special"),
        Plan((Edit(one, (0, 2), 0.5, "add", "response[1:]"), Edit(two, (2,), 1.0, "ablate"))),
    ]


@contextmanager
def watched() -> Iterator[Logits]:
    """For every row of a call of `generate` the logits [V] that each of its tokens was chosen
    from."""
    logits: Logits = {}
    now: list[int] = []
    choose, decode = decoding.choose, generation.decode_batch

    def watch(found: Tensor, temperature: float, draws: Tensor) -> Tensor:
        for number, row in zip(now, found, strict=True):
            logits.setdefault(number, []).append(row.clone())
        return choose(found, temperature, draws)

    def announce(student: Any, rows: Any, numbers: Any, *rest: Any) -> Any:
        now[:] = numbers.tolist()
        return decode(student, rows, numbers, *rest)

    with (
        patch.object(decoding, "choose", watch),
        patch.object(decoding, "_DROP_AT", 2.0),  # keep all rows, so that logits line up
        patch.object(generation, "decode_batch", announce),
    ):
        yield logits


@dataclass(frozen=True)
class Distance:
    """Steered generation with the cache beside a forward without one.

    Attributes:
        apart: the largest difference of a logit, over all rows and steps.
        moved: the least that a plan changed the logits of its row by; where that is nothing,
            `apart` proves nothing.
    """

    apart: float
    moved: float


def cached_against_uncached(student: Student) -> Distance:
    """Different plans in one padded batch, every step of every row."""
    plans = plans_for(student)
    with watched() as seen:
        replies = generate(student, PROMPTS, plans, max_new_tokens=STEPS, seed=5)
    apart, moved = [], []
    for i, (prompt, plan, reply) in enumerate(zip(PROMPTS, plans, replies, strict=True)):
        row, steps = grown(student, prompt, reply.ids), len(reply.ids) + reply.finished
        expected, bare = (
            reference_logits(student, row, one)[row.prompt_length - 1 :][:steps]
            for one in (plan, Plan.none())
        )
        apart.append(float((torch.stack(seen[i])[:steps] - expected).abs().max()))
        if plan.edits:
            moved.append(float((expected - bare).abs().max()))
    return Distance(float(torch.tensor(apart).max()), min(moved))  # which NaN gets through


def untouched_logits_that_change(student: Student) -> int:
    """How many logits are not the untouched student's to the last bit: after hooks were removed,
    and under an edit of strength 0."""
    vector = build_vector(student)

    def run(plans: Plan | Sequence[Plan] | None) -> Logits:
        with watched() as seen:
            generate(student, PROMPTS, plans, max_new_tokens=2, temperature=0)
        return seen

    untouched = run(None)
    run(plans_for(student))
    again, zero = run(None), run(Plan((Edit(vector, (-1, 0, 2), 0.0),)))
    return sum(
        int((a != b).sum())
        for other in (again, zero)
        for i, steps in untouched.items()
        for a, b in zip(steps, other[i], strict=True)
    )


def formula_differences(student: Student) -> dict[str, float]:
    """For each operator, how far its example edits are from their formulas, in float64.

    On random tokens, relative to the size of what the formula gives.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 5, student.d_model, generator=generator, dtype=torch.float64)
    apart: dict[str, float] = {}
    for edit in build_edits(student, 0):
        operator = OPERATORS[edit.operator]
        raw = torch.stack([vector.directions[0].double() for vector in edit.vectors])
        norm = edit.vector.residual_norms[0] if operator.in_residual_norms else 1.0
        s = torch.full((1, 1, 1), edit.strength * norm, dtype=torch.float64)
        found = (x + operator.delta(x, operator.basis(raw)[None], s))[0]
        expected = torch.stack([reference_edit(edit, 0, token) for token in x[0]])
        distance = float((found - expected).abs().max() / expected.abs().max())
        apart[edit.operator] = max(apart.get(edit.operator, 0.0), distance)
    return apart
