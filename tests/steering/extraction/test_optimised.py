"""Vectors by gradient descent: the loss is what it says, falls, and stays within the bound."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from selfsteer.errors import DatasetError, PlanError, SelectorError, StudentError, VectorError
from selfsteer.steering.extraction.optimised import optimise_vector
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs
from tests.steering.families import family_student
from tests.steering.students import build_student, hook_count

PROMOTE = [
    Example(prompt=Prompt.chat("one", system="s"), completion="abc"),
    Example(prompt=Prompt.chat("another, longer one"), completion="de"),
]
SUPPRESS = [Example(prompt=Prompt.chat("one"), completion="xyzw")]


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def student(request: pytest.FixtureRequest) -> Student:
    return build_student(request.param)


def loss_of(student: Student, plan: Plan) -> float:
    """Written out from the words: the mean over all completion tokens."""
    promoted = torch.cat(completion_logprobs(student, PROMOTE, plan)).double()
    suppressed = torch.cat(completion_logprobs(student, SUPPRESS, plan)).double()
    total = promoted.sum() + torch.log1p(-suppressed.exp()).sum()
    return -float(total) / (len(promoted) + len(suppressed))


@pytest.mark.parametrize(
    ("layer", "selector"), [(-1, "all"), (1, "prompt"), (2, "last + response")]
)
def test_the_plan_it_stands_for_has_the_loss_that_was_reached(
    student: Student, layer: int, selector: str
) -> None:
    vector = optimise_vector(
        student, PROMOTE, SUPPRESS, layer=layer, concept="abc", selector=selector, token_budget=40
    )
    notes = vector.notes
    assert isinstance(notes["strength"], float)
    plan = Plan.single(vector, layer, notes["strength"], selector=selector)
    assert notes["loss_before"] == pytest.approx(loss_of(student, Plan.none()), rel=1e-4)
    assert notes["loss_after"] == pytest.approx(loss_of(student, plan), rel=1e-3)
    assert float(str(notes["loss_after"])) < 0.95 * float(str(notes["loss_before"]))
    assert (vector.method, vector.layers, vector.selector) == ("optimised", (layer,), selector)
    assert hook_count(student) == 0


def test_more_length_reaches_a_lower_loss_and_none_exceeds_its_bound(student: Student) -> None:
    short, long = (
        optimise_vector(student, PROMOTE, layer=1, concept="abc", bound=bound).notes
        for bound in (0.05, 1.0)
    )
    assert float(str(short["strength"])) <= 0.05 * (1 + 1e-5)
    assert float(str(long["loss_after"])) < float(str(short["loss_after"]))


def test_suppression_alone_makes_completions_less_likely(student: Student) -> None:
    vector = optimise_vector(student, [], SUPPRESS, layer=1, concept="not xyzw")
    plan = Plan.single(vector, 1, float(str(vector.notes["strength"])))
    before, after = (
        float(torch.cat(completion_logprobs(student, SUPPRESS, p)).exp().sum())
        for p in (Plan.none(), plan)
    )
    assert after < before


def test_the_same_examples_give_the_same_vector(student: Student) -> None:
    first, again = (
        optimise_vector(student, PROMOTE, layer=0, concept="abc", steps=3) for _ in range(2)
    )
    other = optimise_vector(student, PROMOTE[:1], layer=0, concept="abc", steps=3)
    assert first.id == again.id
    assert first.dataset_id != other.dataset_id


@pytest.mark.parametrize("family", ["mamba", "jamba"])
def test_recurrent_students_see_no_pads(family: str) -> None:
    student = family_student(family)
    told: list[dict[str, Any]] = []
    with student.model.register_forward_pre_hook(
        lambda _m, _a, kwargs: told.append(kwargs), with_kwargs=True
    ):
        found = optimise_vector(student, PROMOTE, SUPPRESS, layer=1, concept="abc", steps=1).notes
    assert found["loss_before"] == pytest.approx(loss_of(student, Plan.none()), rel=1e-4)
    scored = [kwargs for kwargs in told if "attention_mask" in kwargs]
    assert len({kwargs["input_ids"].shape[1] for kwargs in scored}) == 3
    assert all(kwargs["attention_mask"] is None for kwargs in scored)


def test_where_nothing_can_change_the_loss_it_is_said(student: Student) -> None:
    """Nothing is predicted from the last token of a completion."""
    with pytest.raises(VectorError, match=r"added at layer 1 to the tokens of 'response\[-1\]'"):
        optimise_vector(student, PROMOTE, layer=1, concept="abc", selector="response[-1]")
    assert hook_count(student) == 0


def test_bad_requests_are_refused(student: Student) -> None:
    with pytest.raises(DatasetError, match="nothing to promote"):
        optimise_vector(student, [], layer=0, concept="x")
    with pytest.raises(DatasetError, match="Example 0 has no completion"):
        optimise_vector(student, [Example(prompt=Prompt.chat("a"))], layer=0, concept="x")
    with pytest.raises(PlanError, match="above 0"):
        optimise_vector(student, PROMOTE, layer=0, concept="x", bound=float("inf"))
    with pytest.raises(PlanError, match="above 0"):
        optimise_vector(student, PROMOTE, layer=0, concept="x", steps=0)
    with pytest.raises(SelectorError, match="no token of example 1"):
        optimise_vector(student, PROMOTE, layer=0, concept="x", selector="system")
    with pytest.raises(StudentError):
        optimise_vector(student, PROMOTE, layer=9, concept="x")
