"""Erasures: what they are made of, and that steering with one does what the eraser does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from selfsteer.errors import DatasetError, PlanError, VectorError
from selfsteer.steering.capture import capture
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.editing.hooks import steering
from selfsteer.steering.encoding import encode
from selfsteer.steering.extraction.activations import capture_pairs
from selfsteer.steering.extraction.erasure import Erasure, erasure_plan
from selfsteer.steering.extraction.extract_erasure import extract_class_erasure, extract_erasure
from selfsteer.steering.extraction.leace import Eraser, leace
from selfsteer.steering.generate import generate
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.prompts import Example, Prompt

PROMPT = Prompt.chat("How are you?")
WORDS = ["dog", "cat", "chien", "chat", "Hund", "Katze", "a pig", "un cochon", "ein Schwein"]
LEVELS = ["en", "en", "fr", "fr", "de", "de", "en", "fr", "de"]
REPLIES = [("so glad", "so sad"), ("wonderful", "dire"), ("good day", "bad day"), ("yes", "no")]
DATASET = ContrastiveDataset(
    concept="glad",
    pairs=tuple(
        ContrastivePair(
            positive=Example(prompt=PROMPT, completion=glad),
            negative=Example(prompt=PROMPT, completion=sad),
        )
        for glad, sad in REPLIES
    ),
)


def residual_after(student: Student, plan: Plan, layer: int) -> Tensor:
    """[T, D] what leaves a block for a prompt under a plan."""
    row = encode(student, PROMPT)
    seen: list[Tensor] = []
    handle = student.layers[layer + 1].register_forward_pre_hook(lambda _, a: seen.append(a[0]))
    with torch.inference_mode(), steering(student, [plan], [row]) as edits:
        edits.on_rows("left", len(row.ids))
        student.model(torch.tensor([row.ids]))
    handle.remove()
    return seen[0][0]


@pytest.fixture(scope="module")
def erasure(llama: Student) -> Erasure:
    """Of three languages: two dimensions."""
    examples = [Example(prompt=PROMPT, completion=word) for word in WORDS]
    return extract_class_erasure(llama, examples, LEVELS, "tongue", layers=[1, 0])


def test_it_is_leace_with_provenance(llama: Student, erasure: Erasure) -> None:
    assert (erasure.layers, erasure.k, erasure.d_model) == ((0, 1), 2, llama.d_model)
    assert erasure.student_fingerprint == llama.fingerprint
    assert erasure.notes == {"reduce": "mean", "levels": ["de", "en", "fr"]}
    examples = [Example(prompt=PROMPT, completion=word) for word in WORDS]
    values = capture(llama, examples, [0, 1], "response").values
    expected = leace(values, [["de", "en", "fr"].index(level) for level in LEVELS])
    torch.testing.assert_close(erasure.eraser.projection, expected.projection)
    pairs = extract_erasure(llama, DATASET, layers=[1])
    assert (pairs.k, pairs.concept, pairs.dataset_id) == (1, "glad", DATASET.id)
    activations = capture_pairs(llama, DATASET, layers=[1])
    assert extract_erasure(llama, DATASET, activations=activations) == pairs
    sides = [pairs.eraser(side) for side in (activations.positive, activations.negative)]
    torch.testing.assert_close(sides[0].mean(1), sides[1].mean(1), atol=1e-4, rtol=0)
    with pytest.raises(DatasetError, match="9 examples and 8 levels"):
        extract_class_erasure(llama, examples, LEVELS[:8], "tongue")


@pytest.mark.parametrize("fraction", [1.0, 0.4])
def test_steering_does_what_the_eraser_does(
    llama: Student, erasure: Erasure, fraction: float
) -> None:
    plan = erasure_plan(erasure, 1, fraction)
    assert [edit.operator for edit in plan.edits] == ["erase"]
    assert {vector.parents for vector in plan.edits[0].vectors} == {(erasure.id,)}
    plain, steered = (residual_after(llama, each, 1) for each in (Plan.none(), plan))
    erased = erasure.eraser(plain.expand(2, -1, -1))[1]
    ordinary = ~torch.tensor(encode(llama, PROMPT).special)
    assert (erased - plain)[ordinary].abs().max() > 0.1
    expected = plain + fraction * (erased - plain)
    torch.testing.assert_close(steered[ordinary], expected[ordinary], atol=1e-4, rtol=1e-4)
    assert steered[~ordinary].equal(plain[~ordinary])


def test_erasures_of_other_sizes_share_a_batch(llama: Student, erasure: Erasure) -> None:
    """Two dimensions, one and none, each row as if it were alone."""
    plans = [
        erasure_plan(erasure, 1, 3.0, "all + special"),
        erasure_plan(extract_erasure(llama, DATASET, layers=[1]), 1, 0.8, "response"),
        Plan.none(),
    ]
    together = generate(llama, [PROMPT] * 3, plans, max_new_tokens=6, temperature=0)
    alone = [generate(llama, [PROMPT], p, max_new_tokens=6, temperature=0)[0] for p in plans]
    assert together == alone
    assert together[0] != together[2]


def test_a_mean_of_zero_is_left_out(erasure: Erasure) -> None:
    linear = replace(erasure.eraser, mean=torch.zeros_like(erasure.eraser.mean))
    assert len(erasure_plan(replace(erasure, eraser=linear), 1).edits[0].vectors) == 4
    assert len(erasure_plan(erasure, 1).edits[0].vectors) == 5


def test_plans_with_an_erasure_are_told_and_read(erasure: Erasure) -> None:
    (edit,) = erasure_plan(erasure, 0, 0.5).edits
    by_id = {vector.id: vector for vector in edit.vectors}
    assert Edit.read(edit.describe(), by_id.__getitem__) == edit
    with pytest.raises(PlanError, match=r"no layer 2; it has \[0, 1\]"):
        erasure_plan(erasure, 2)


LEFT = torch.eye(4)[None, :2]
GOOD = Eraser(torch.ones(1, 4), LEFT, LEFT)


@pytest.mark.parametrize(
    ("layers", "eraser", "message"),
    [
        ((), GOOD, "given in order"),
        ((-2,), GOOD, "from -1 on"),
        ((1, 1), GOOD, "given in order"),
        ((0, 1), GOOD, "over 2 layers"),
        ((0,), replace(GOOD, mean=torch.ones(4)), r"it has \[4\]"),
        ((0,), replace(GOOD, right=LEFT[:, :1]), "two maps of shape"),
        ((0,), replace(GOOD, right=LEFT * 2), "is not the identity"),
        ((0,), replace(GOOD, mean=torch.full((1, 4), torch.nan)), "NaN or infinite"),
        ((0,), Eraser(torch.ones(1, 1), torch.ones(1, 2, 1), torch.ones(1, 2, 1)), "out of 1"),
    ],
)
def test_malformed_maps_are_refused(layers: Any, eraser: Eraser, message: str) -> None:
    with pytest.raises(VectorError, match=message):
        Erasure(layers, eraser, "m", "all", "c", "0" * 16, "f" * 16)
