"""What a large model answers at each of a controller's four decisions, as JSON that is checked."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from selfsteer.agents.types import MOST_PARTS, Action, Question, Record, Text

Reason = Annotated[str, Field(min_length=1, max_length=2_000)]


class Revision(Record):
    """Both sides of a contrast, and a rubric to judge by."""

    positive: tuple[Text, ...] = Field(min_length=5, max_length=24)
    negative: tuple[Annotated[str, Field(max_length=2_000)], ...] = Field(
        min_length=1, max_length=24
    )
    rubric: str = Field(min_length=1, max_length=4_000)
    reason: Reason

    @model_validator(mode="after")
    def _two_sides(self) -> Self:
        both = set(self.positive) & set(self.negative)
        if both:
            raise ValueError(f"the instruction {min(both)!r} stands on both sides")
        return self


class Proposal(Revision):
    """The first one, with the questions that the whole run asks."""

    questions: tuple[Question, ...] = Field(min_length=40, max_length=400)


class Choice(Record):
    """Where to search."""

    sites: tuple[str, ...] = Field(min_length=1)
    layers: tuple[int, ...] = Field(min_length=1)
    operators: tuple[str, ...] = Field(min_length=1)
    low: float = Field(gt=0, le=10)
    high: float = Field(gt=0, le=20)
    reason: Reason


class NumberedVerdict(Record):
    """A score for one of the numbered replies."""

    number: int = Field(ge=1)
    score: int = Field(ge=0, le=100)


class Judgement(Record):
    """One verdict for each reply, in order."""

    verdicts: tuple[NumberedVerdict, ...] = Field(min_length=1)


class Reflection(Record):
    """What to do after a round."""

    action: Action
    method: str | None = None
    parts: tuple[Text, ...] = Field(default=(), max_length=MOST_PARTS)
    reason: Reason
