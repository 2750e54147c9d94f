"""Text made safe for a terminal, and mistakes in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from selfsteer.agents.steps import Step
from selfsteer.app.output import clean, explain, figure, paid_words, plan_lines
from selfsteer.memory.records import Paid


@given(st.text())
def test_clean_text_holds_nothing_that_a_terminal_acts_on(text: str) -> None:
    cleaned = clean(text)
    assert len(cleaned) == len(text)
    assert all(c.isprintable() or c in "\n\t" for c in cleaned)


def test_clean_leaves_ordinary_text_alone() -> None:
    text = "Grüße, [b]élan[/b]\n\tund 日本"
    assert clean(text) == text


def test_clean_takes_the_start_of_an_escape_sequence() -> None:
    assert clean("a\x1b[31mb") == "a\N{REPLACEMENT CHARACTER}[31mb"


def test_a_missing_figure_is_a_dash() -> None:
    assert figure(None) == "\N{EN DASH}"
    assert figure(0.125, 1) == "0.1"


def test_vectors_that_steer_in_the_same_way_share_a_line() -> None:
    way = {"site": "reply", "layer": 2, "operator": "add"}
    steps = [Step(vector=name, **way, strength=s) for name, s in (("a", 1), ("b", 0.5), ("c", 1))]
    assert plan_lines(steps) == [
        "vector a and c: reply, layer 2, add 1.00",
        "vector b: reply, layer 2, add 0.50",
    ]
    assert plan_lines([]) == []


class Model(BaseModel):
    size: int = Field(ge=1)
    name: str = Field(default="x", min_length=1, max_length=100)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"size": 0}, "--size: input should be greater than or equal to 1, not 0."),
        ({"size": 1, "name": ""}, "name is empty; give it some text."),
        ({}, "--size: field required, not {}."),
    ],
)
def test_the_first_mistake_is_named_as_people_know_it(
    values: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Model.model_validate(values)
    assert explain(caught.value, {"size": "--size"}) == sentence


def test_a_long_value_is_cut() -> None:
    with pytest.raises(ValidationError) as caught:
        Model(size=1, name="y" * 5000)
    assert len(explain(caught.value, {})) < 150


@pytest.mark.parametrize(
    ("paid", "words"),
    [
        (Paid(calls=1, tokens=9, cost=0.25), "1 call, 9 tokens, $0.2500"),
        (
            Paid(calls=2, tokens=9, cost=0.25, exact=False),
            "2 calls, at most 9 tokens, at most $0.2500",
        ),
        (
            Paid(calls=2, tokens=9, cost=None),
            "2 calls, 9 tokens, cost not known, because SELFSTEER_PRICES has no price of the model",
        ),
    ],
)
def test_what_was_paid_says_what_is_not_known(paid: Paid, words: str) -> None:
    assert paid_words(paid) == words
