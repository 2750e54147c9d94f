"""What is left of the student's abilities when it is steered."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from selfsteer.errors import DatasetError
from selfsteer.steering.generate import generate
from selfsteer.steering.metrics.intervals import Interval, wilson
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Prompt

_FINAL_PUNCTUATION = ".!?…。\uff01\uff1f"  # the last two are full-width ! and ?


class CapabilityItem(BaseModel):
    """A question with every full answer that is right.

    Attributes:
        question: what the user asks.
        answers: accepted answers, whole; an answer that merely contains one is wrong.
    """

    model_config = ConfigDict(frozen=True)

    question: str
    answers: tuple[str, ...] = Field(min_length=1)


class RetentionScore(BaseModel):
    """How many answers are right with and without steering.

    Attributes:
        base: share of right answers of the unsteered student.
        steered: the same under the plan.
        ratio: steered over base; 0 when the base has none right, because then nothing shows that
            anything was kept.
        n: the number of questions.
        base_interval: 95 % Wilson interval of ``base``.
        steered_interval: 95 % Wilson interval of ``steered``.
    """

    model_config = ConfigDict(frozen=True)

    base: float
    steered: float
    ratio: float
    n: int
    base_interval: Interval
    steered_interval: Interval


def normalise(answer: str) -> str:
    """An answer without differences of white space, case and final punctuation."""
    return " ".join(answer.split()).rstrip(_FINAL_PUNCTUATION + " ").casefold()


def is_right(item: CapabilityItem, answer: str) -> bool:
    """Whether the whole answer is one of those accepted."""
    return normalise(answer) in {normalise(accepted) for accepted in item.answers}


def retention(
    student: Student,
    items: Sequence[CapabilityItem],
    plans: Sequence[Plan],
    *,
    max_new_tokens: int = 32,
) -> list[RetentionScore]:
    """Ask every question under every plan, and once without, greedily, in one batched call.

    Returns:
        a score for each plan, in their order.

    Raises:
        DatasetError: there are no items.
    """
    if not items:
        raise DatasetError("Retention needs at least one question with its answers.")
    arms = [Plan.none(), *plans]
    replies = generate(
        student,
        [Prompt.chat(item.question) for item in items] * len(arms),
        [plan for plan in arms for _ in items],
        max_new_tokens=max_new_tokens,
        temperature=0,
        overflow="end",
    )
    right = [
        sum(is_right(item, reply.text) for item, reply in zip(items, replies[first:], strict=False))
        for first in range(0, len(replies), len(items))
    ]
    return [_score(right[0], steered, len(items)) for steered in right[1:]]


def _score(base: int, steered: int, n: int) -> RetentionScore:
    return RetentionScore(
        base=base / n,
        steered=steered / n,
        ratio=steered / base if base else 0.0,
        n=n,
        base_interval=wilson(base, n),
        steered_interval=wilson(steered, n),
    )
