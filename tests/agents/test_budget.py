"""What a run may spend: every limit counts, and none may be nothing."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from selfsteer.agents.budget import Budget, Spent

LIMITS = {
    "rounds": 2,
    "candidates": 10,
    "generated_tokens": 1000,
    "controller_calls": 5,
    "controller_tokens": 900,
    "money": 0.75,
    "minutes": 0.5,
}
WORDS = {"money": "dollars"}


@pytest.mark.parametrize("name", LIMITS)
def test_every_limit_ends_a_run_when_it_is_reached(name: str) -> None:
    budget = Budget.model_validate(LIMITS)
    almost = Spent.model_validate(
        {n: limit * 0.5 if limit < 1 else limit - 1 for n, limit in LIMITS.items()}
    )
    assert budget.exhausted(almost) is None
    reached = budget.exhausted(almost.model_copy(update={name: LIMITS[name]}))
    assert reached is not None
    assert f"{LIMITS[name]:g} {WORDS.get(name, name.replace('_', ' '))}" in reached
    beyond = almost.model_copy(update={name: LIMITS[name] * 3})
    assert budget.exhausted(beyond) == reached


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_is_reached_is_not_exceeded_yet(name: str) -> None:
    budget = Budget.model_validate(LIMITS)
    assert budget.exceeded(Spent.model_validate({name: LIMITS[name]})) is None
    words = budget.exceeded(Spent.model_validate({name: LIMITS[name] * 2}))
    assert words is not None and f"budget of {LIMITS[name]:g} " in words


def test_money_without_a_limit_ends_nothing() -> None:
    assert Budget().exhausted(Spent(money=1e6)) is None
    assert Budget().exhausted(Spent(money=None)) is None


def test_money_of_an_unknown_amount_keeps_no_limit() -> None:
    assert Budget(money=1).exhausted(Spent(money=None)) is not None
    assert Budget(money=1).exceeded(Spent(money=None)) is not None


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("limit", [0, -1, math.nan])
def test_no_limit_may_be_nothing(name: str, limit: float) -> None:
    """One complaint that names the limit: the command line makes a sentence of it."""
    with pytest.raises(ValidationError) as refused:
        Budget.model_validate({name: limit})
    [complaint] = refused.value.errors()
    assert complaint["loc"] == (name,)


def test_an_unknown_limit_is_refused() -> None:
    with pytest.raises(ValidationError, match="dollars"):
        Budget.model_validate({"dollars": 3})


def test_spending_adds_up() -> None:
    spent = Spent().plus(candidates=3, minutes=0.25).plus(candidates=2, rounds=1)
    assert spent == Spent(rounds=1, candidates=5, generated_tokens=0, minutes=0.25)
    assert Budget().exhausted(Spent()) is None
