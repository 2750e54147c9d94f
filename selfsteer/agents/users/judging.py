"""Does a vector predict its user: the figures on which it is put in use, and retired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from selfsteer.errors import UserError
from selfsteer.steering.metrics.intervals import Interval, bootstrap_mean
from selfsteer.steering.model import Student
from selfsteer.steering.users.dose import user_plan
from selfsteer.steering.users.history import History
from selfsteer.steering.users.objective import NOTHING, Condition, fit_turns
from selfsteer.steering.vectors import SteeringVector

FEWEST = 3
"""Messages that a vector has to be judged on, at least."""

_CONFIDENCE = 0.9


@dataclass(frozen=True)
class Verdict:
    """A user's vector against the population's, on messages that it was not derived from.

    Attributes:
        gain: mean over messages of bits per token more than under the population's vector.
        interval: 90 %, over messages.
        messages: how many it was judged on.
    """

    gain: float
    interval: Interval
    messages: int

    @property
    def better(self) -> bool:
        """Whether the vector beats the population's by more than chance would explain."""
        return self.interval.low > 0

    def scores(self) -> dict[str, Any]:
        """JSON values."""
        return {"gain": self.gain, "interval": list(self.interval), "messages": self.messages}

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.gain:+.3f} [{low:+.3f}, {high:+.3f}] bits per token over the population, on "
            f"{self.messages} messages"
        )


def judge_vector(
    student: Student,
    vector: SteeringVector,
    population: SteeringVector,
    held_out: History,
    *,
    dose: float = 1.0,
) -> Verdict:
    """Compare a user's vector with the population's on some of the user's messages.

    Raises:
        UserError: fewer than three messages.
    """
    if len(held_out.turns) < FEWEST:
        raise UserError(
            f"{len(held_out.turns)} messages are too few to judge a vector by; observe "
            f"{FEWEST} or more."
        )
    conditions = [Condition(user_plan(vector, dose)), Condition(user_plan(population))]
    gains = message_gains(student, held_out, conditions)
    over = [own - other for own, other in zip(*gains, strict=True)]
    return Verdict(fmean(over), bootstrap_mean(over, confidence=_CONFIDENCE), len(over))


def message_gains(
    student: Student, held_out: History, conditions: Sequence[Condition]
) -> list[list[float]]:
    """For each condition the gain of every message over nothing, in bits per token."""
    single = [History((turn,)) for turn in held_out.turns]
    fits = fit_turns(student, single, [[NOTHING, *conditions]] * len(single))
    return [[fit[i + 1].gain(fit[0]) for fit in fits] for i in range(len(conditions))]
