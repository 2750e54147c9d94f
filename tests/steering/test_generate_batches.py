"""What else is in a batch is nothing to a reply but rounding."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from selfsteer.steering import decoding
from selfsteer.steering.generate import Generation, generate
from selfsteer.steering.model import Student
from tests.steering.students import (
    FAMILIES,
    PROMPTS,
    build_model,
    build_tokenizer,
    mixed_plans,
)


def in_batches(
    student: Student, monkeypatch: pytest.MonkeyPatch, watch: Sequence[int] = ()
) -> list[list[Generation]]:
    """Every operator, gate and schedule: rows never dropped, at once, and in small batches."""
    plans = mixed_plans(student, PROMPTS)
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(len(plans))]
    found = []
    for share, budget in ((2.0, 32768), (0.0, 32768), (1 / 8, 400)):
        monkeypatch.setattr(decoding, "_DROP_AT", share)
        found.append(
            generate(
                student, prompts, plans, max_new_tokens=25, seed=1, watch=watch, batch_tokens=budget
            )
        )
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_gates_hold_while_rows_are_dropped_and_batches_change(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64: in float32 a draw may fall into what batches change by rounding."""
    model = build_model(family).double()
    found = in_batches(Student.wrap(model, build_tokenizer(), family), monkeypatch)
    assert found[0] == found[1] == found[2]
    assert any(reply.finished for reply in found[0])


def test_other_batches_change_probabilities_by_rounding(
    student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the whole vocabulary, at every token until two replies part."""
    first, *others = in_batches(student, monkeypatch, range(student.model.config.vocab_size))
    for other in others:
        for one, same in zip(first, other, strict=True):
            alike = [a == b for a, b in zip(one.ids, same.ids, strict=False)]
            common = [*alike, False].index(False) + 1  # and what comes next
            ours, theirs = (torch.tensor(each.watched[:common]) for each in (one, same))
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
        parted = [one.ids != same.ids for one, same in zip(first, other, strict=True)]
        assert sum(parted) <= 1
