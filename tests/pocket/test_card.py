"""The model card belongs to these weights, its bars are met, and a sample of it holds again."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from benchmarks.card.facts import facts
from benchmarks.card.obedience import prior
from benchmarks.card.replies import prompts, replies
from benchmarks.card.steerability import measure, value_vector
from selfsteer.pocket import oracle
from selfsteer.pocket.weights import weights_path
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan

REQUIRED = (
    "obeys, worst value",
    "obeys, mean of values",
    "consistent replies",
    "well-formed sentences",
    "facts right, greedy",
    "without instruction, commonest value",
    "user turns, bits per token gained",
    "judge AUROC, clean, worst value",
    "judge AUROC, steered, worst value",
    "steerable values",
)


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    path = weights_path("pocket").parent / "card.json"
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def pocket() -> Student:
    return Student.load("pocket")


def test_the_card_is_of_these_weights(card: dict[str, Any], pocket: Student) -> None:
    assert card["fingerprint"] == pocket.fingerprint


@pytest.mark.parametrize("name", REQUIRED)
def test_every_bar_is_met(card: dict[str, Any], name: str) -> None:
    assert card["bars"][name]["met"], card["bars"][name]


def test_both_checkpoints_fit_the_wheel() -> None:
    folder = weights_path("pocket").parent
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 16e6


def test_both_checkpoints_share_a_tokenizer(pocket: Student) -> None:
    base = Student.load("pocket-base")
    assert base.tokenizer.get_vocab() == pocket.tokenizer.get_vocab()
    assert base.fingerprint != pocket.fingerprint


def test_facts_hold_again(pocket: Student) -> None:
    assert facts(pocket).met


def test_the_prior_holds_again(pocket: Student) -> None:
    assert prior(pocket).met


def test_instructions_move_the_reply(pocket: Student) -> None:
    asked = {"language": "french"}
    told = replies(pocket, prompts(Random("again"), 40, asked), seed=5)
    free = replies(pocket, prompts(Random("again"), 40), seed=5)
    assert sum(oracle.expresses(text, **asked) for text in told) >= 34
    assert sum(oracle.expresses(text, **asked) for text in free) <= 24


def test_a_steered_value_holds_again(card: dict[str, Any], pocket: Student) -> None:
    row = max(card["steering"], key=lambda row: row["expression"] * row["well_formed"])
    vector = value_vector(pocket, {row["family"]: row["value"]})
    plan = Plan.single(vector, row["layer"], row["strength"], selector=row["selector"])
    ((expression, well_formed),) = measure(pocket, [plan], {row["family"]: row["value"]}, 80, 99)
    # 80 samples: three standard errors below the card's figures at worst.
    assert expression >= row["expression"] - 0.12
    assert well_formed >= row["well_formed"] - 0.12
