"""What a large model answers at each of a controller's four decisions, as JSON that is checked."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Self

from pydantic import Field, model_validator

from selfsteer.agents.probes import SPLITS, plain
from selfsteer.agents.types import (
    LONGEST_REASON,
    MOST_PARTS,
    TRIALS,
    Action,
    Question,
    Record,
    Text,
)

LEAST_QUESTIONS = 40
LEAST_TOPICS = 4
MOST_OF_A_TOPIC = 0.5
FEWEST_TRIALS, MOST_TRIALS = 12, 2 * TRIALS

Reason = Annotated[str, Field(min_length=1, max_length=LONGEST_REASON)]


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

    questions: tuple[Question, ...] = Field(min_length=LEAST_QUESTIONS, max_length=400)

    @model_validator(mode="after")
    def _balanced(self) -> Self:
        """Enough different questions, on several topics that each reach all four sets."""
        topics: dict[str, str] = {plain(q.text): plain(q.topic) for q in self.questions}
        if len(topics) < LEAST_QUESTIONS:
            raise ValueError(
                f"only {len(topics)} questions differ in their words; write {LEAST_QUESTIONS} or "
                "more that do"
            )
        sizes = Counter(topics.values())
        broad = [topic for topic, size in sizes.items() if size >= len(SPLITS)]
        if len(broad) < LEAST_TOPICS:
            raise ValueError(
                f"the questions need {LEAST_TOPICS} topics or more with {len(SPLITS)} or more "
                f"questions each, one for each set; there are {len(broad)}"
            )
        topic, most = sizes.most_common(1)[0]
        if most > MOST_OF_A_TOPIC * len(topics):
            raise ValueError(f"{most} of {len(topics)} questions are on one topic, {topic!r}")
        return self


class Choice(Record):
    """Where to search, and for how many candidates."""

    sites: tuple[str, ...] = Field(min_length=1)
    layers: tuple[int, ...] = Field(min_length=1)
    operators: tuple[str, ...] = Field(min_length=1)
    low: float = Field(gt=0, le=10)
    high: float = Field(gt=0, le=20)
    trials: int = Field(default=TRIALS, ge=FEWEST_TRIALS, le=MOST_TRIALS)
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
