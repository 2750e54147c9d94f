"""Retention: what counts as right, and the two arms."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from selfsteer.errors import DatasetError
from selfsteer.steering.generate import generate
from selfsteer.steering.metrics.retention import CapabilityItem, is_right, normalise, retention
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Prompt
from selfsteer.steering.vectors import SteeringVector

QUESTIONS = ["What is two and two?", "Capital of France?", "Sky?", "Grass?"]
LENGTH = 6


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("  Paris. ", "paris"),
        ("The\n answer  is\t4!", "the answer is 4"),
        ("PARIS ?!", "paris"),
        ("e.g. this", "e.g. this"),
        ("Straße", "strasse"),
        ("", ""),
    ],
)
def test_normalise(answer: str, expected: str) -> None:
    assert normalise(answer) == expected


def test_only_the_full_answer_is_right() -> None:
    item = CapabilityItem(question="Capital of France?", answers=("It is Paris.", "C'est Paris."))
    assert is_right(item, "it is  paris")
    assert is_right(item, "C'EST PARIS!")
    assert not is_right(item, "Paris")
    assert not is_right(item, "It is Paris. It is Paris.")
    assert not is_right(item, "It is not Paris.")


def own_answers(student: Student) -> list[CapabilityItem]:
    """Questions whose right answer is what the student says, so that its base is perfect."""
    prompts = [Prompt.chat(question) for question in QUESTIONS]
    replies = generate(student, prompts, temperature=0, max_new_tokens=LENGTH)
    return [
        CapabilityItem(question=question, answers=("no", reply.text))
        for question, reply in zip(QUESTIONS, replies, strict=True)
    ]


def test_both_arms(llama: Student, vector_for: Callable[..., SteeringVector]) -> None:
    items = own_answers(llama)
    items[0] = CapabilityItem(question=QUESTIONS[0], answers=("never said",))
    strong = Plan.single(vector_for(llama, norm=1.0), 1, 500.0)
    [score] = retention(llama, items, [strong], max_new_tokens=LENGTH)
    assert (score.base, score.n) == (0.75, 4)
    assert score.steered < 0.75
    assert score.ratio == score.steered / score.base
    assert score.base_interval.low < 0.75 < score.base_interval.high


def test_plans_in_one_call_are_those_of_single_calls(
    llama: Student, vector_for: Callable[..., SteeringVector]
) -> None:
    items = own_answers(llama)
    plans = [Plan.single(vector_for(llama, norm=1.0), 1, dose) for dose in (0.0, 3.0, 500.0)]
    alone = [retention(llama, items, [plan], max_new_tokens=LENGTH)[0] for plan in plans]
    assert retention(llama, items, plans, max_new_tokens=LENGTH) == alone
    assert alone[0].steered == 1 > alone[2].steered


@pytest.mark.filterwarnings("ignore")
def test_without_steering_everything_is_kept(llama: Student) -> None:
    [score] = retention(llama, own_answers(llama), [Plan.none()], max_new_tokens=LENGTH)
    assert (score.base, score.steered, score.ratio) == (1, 1, 1)


def test_a_base_without_a_right_answer_shows_nothing(
    llama: Student, vector_for: Callable[..., SteeringVector]
) -> None:
    items = [CapabilityItem(question="Sky?", answers=("never said",))]
    plan = Plan.single(vector_for(llama), 1, 0.1)
    assert retention(llama, items, [plan], max_new_tokens=LENGTH)[0].ratio == 0


def test_items_are_needed_and_have_answers(llama: Student) -> None:
    with pytest.raises(DatasetError, match="one question"):
        retention(llama, [], [Plan.none()])
    with pytest.raises(ValueError, match="answers"):
        CapabilityItem(question="Sky?", answers=())
