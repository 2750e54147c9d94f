"""What a run may spend, checked before every spend."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict, Field

from selfsteer.errors import BudgetError, SelfsteerError

# What people call a limit, where it is not its name.
_WORDS = {"money": "dollars"}


class CannotGoOn(SelfsteerError):
    """A search has to end; the message says why, as part of a sentence.

    Attributes:
        spent: what had been spent where it showed, and is on no record yet.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.spent: Mapping[str, float] = {}


class OutOfBudget(CannotGoOn, BudgetError):
    """What comes next would go past a limit; the message says which."""


@contextmanager
def keeping_account(spent: Mapping[str, float]) -> Iterator[None]:
    """Let what ends a search in this block say what was spent before it."""
    try:
        yield
    except CannotGoOn as error:
        error.spent = spent
        raise


class Spent(BaseModel):
    """What a run has used up so far.

    Attributes:
        replies: that the student gave; no limit counts them, they tell what one costs in minutes.
        money: in US dollars; None where a price is not known.
    """

    model_config = ConfigDict(frozen=True)

    rounds: int = 0
    candidates: int = 0
    generated_tokens: int = 0
    replies: int = 0
    controller_calls: int = 0
    controller_tokens: int = 0
    money: float | None = 0.0
    minutes: float = 0.0

    def plus(self, **amounts: float) -> Spent:
        """The same with more spent."""
        values = self.model_dump()
        return Spent(**(values | {name: values[name] + amounts[name] for name in amounts}))


class Budget(BaseModel):
    """Limits of a run; every limit is positive and finite.

    Attributes:
        rounds: turns of the loop.
        candidates: plans evaluated; closer looks and the one that accepts or refuses count again.
        generated_tokens: tokens that the student writes.
        controller_calls: requests to a paid model that were paid, or may have been.
        controller_tokens: tokens that paid models read and write.
        money: US dollars for paid models; None sets no limit.
        minutes: wall-clock time of the run, interruptions left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: int = Field(default=3, ge=1)
    candidates: int = Field(default=240, ge=1)
    generated_tokens: int = Field(default=2_000_000, ge=1)
    controller_calls: int = Field(default=1_000, ge=1)
    controller_tokens: int = Field(default=2_000_000, ge=1)
    money: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    minutes: float = Field(default=60.0, gt=0, allow_inf_nan=False)

    def exhausted(self, spent: Spent) -> str | None:
        """Which limit is reached, in words; None while there is room."""
        for name, limit, used in self._pairs(spent):
            if used >= limit:
                return f"{_budget_of(name, limit)} is used up"
        return None

    def exceeded(self, spent: Spent) -> str | None:
        """Which limit this would be past, in words; None where it keeps within all of them."""
        for name, limit, used in self._pairs(spent):
            if used > limit:
                return f"{_budget_of(name, limit)} has no room for what comes next"
        return None

    def _pairs(self, spent: Spent) -> list[tuple[str, float, float]]:
        """Name, limit and use of everything that is limited."""
        pairs = ((name, getattr(self, name), getattr(spent, name)) for name in Budget.model_fields)
        # What is not known may be any amount: no limit of it can be kept by going on.
        return [
            (name, limit, math.inf if used is None else used)
            for name, limit, used in pairs
            if limit is not None
        ]


def _budget_of(name: str, limit: float) -> str:
    return f"the budget of {limit:g} {_WORDS.get(name, name.replace('_', ' '))}"
