"""How well each thing that is known of a user predicts the user, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from selfsteer.agents.users.histories import history_of
from selfsteer.agents.users.judging import FEWEST, message_gains
from selfsteer.errors import UserError
from selfsteer.memory.store import Memory
from selfsteer.steering.metrics.intervals import Interval, bootstrap_mean
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.derivation.registry import check_method, derive
from selfsteer.steering.users.dose import user_plan
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.objective import (
    Condition,
    preference_accuracy,
    rating_correlation,
)

NAMES = {
    "population": "the population's vector",
    "own": "the user's vector",
    "shuffled": "other users' vectors",
    "traits": "named vectors alone",
    "history": "the raw history in context",
    "profile": "a written profile",
}


@dataclass(frozen=True)
class ArmFigures:
    """What one arm says of the held-out part.

    Attributes:
        gain: bits per token of the user's messages over nothing, the mean over messages.
        interval: 95 %, over messages.
        over_population: the paired difference to the population's vector, with its interval.
        accuracy: on held-out choices; None where there are none.
        correlation: with held-out ratings; None where there are no two different ones.
    """

    gain: float
    interval: Interval
    over_population: float
    over_interval: Interval
    accuracy: float | None
    correlation: float | None


@dataclass(frozen=True)
class Prediction:
    """All arms, on the newer half of what is known of a user.

    Attributes:
        arms: by the keys of `NAMES`; those that could be had.
        told, judged: messages that the arms know, and messages that they are judged on.
        history_tokens: what the arm ``history`` puts in context.
        context_tokens: what the student can take; None where it does not say.
    """

    arms: dict[str, ArmFigures]
    told: int
    judged: int
    history_tokens: int
    context_tokens: int | None


def predict_user(
    memory: Memory,
    student: Student,
    known: Known,
    user_id: str,
    strangers: Sequence[History],
    *,
    method: str = "predictive",
    profile: str = "",
) -> Prediction:
    """Derive from the older half of a user's messages and predict the newer half.

    Args:
        strangers: other users, whose vectors stand for shuffled ones: simulated ones, so that
            nobody's data is used for another.
        profile: what somebody wrote about the user; empty leaves that arm out.

    Raises:
        UserError: unknown user, or too few messages.
        DatasetError: the method needs what was not observed.
    """
    older, newer = predictable(memory, user_id, method)
    said = _as_context(older)
    conditions = {
        "population": [Condition(user_plan(known.encoder.population_vector()))],
        "own": [Condition(user_plan(derive(method, student, older, known)))],
        "shuffled": [
            Condition(user_plan(vector)) for vector in known.encoder.vectors(student, strangers)
        ],
        "history": [Condition(before=said)],
    }
    if known.traits:
        traits = derive("traits", student, older, known)
        conditions["traits"] = [Condition(user_plan(traits))]
    if profile.strip():
        conditions["profile"] = [Condition(before=(Message(role="system", content=profile),))]
    every = [condition for several in conditions.values() for condition in several]
    gains = iter(message_gains(student, newer, every))
    by_arm = {
        name: [fmean(column) for column in zip(*(next(gains) for _ in several), strict=True)]
        for name, several in conditions.items()
    }
    arms = {
        name: _figures(student, newer, conditions[name][0], by_arm[name], by_arm["population"])
        for name in NAMES
        if name in by_arm
    }
    tokens = sum(len(student.tokenizer(message.content)["input_ids"]) for message in said)
    return Prediction(arms, len(older.turns), len(newer.turns), tokens, student.context_length)


def predictable(memory: Memory, user_id: str, method: str) -> tuple[History, History]:
    """The older half of what is known of a user, and the newer one, which judges.

    Raises:
        UserError: unknown user, or too few messages.
        DatasetError: an unknown method.
    """
    check_method(method, None)
    history = history_of(memory.users.observations(user_id))
    older, newer = history.split((len(history.turns) + 1) // 2)
    if len(newer.turns) < FEWEST:
        raise UserError(
            f"User {user_id!a} wrote {len(history.turns)} messages; predicting needs {2 * FEWEST}, "
            "half of them to be judged by."
        )
    return older, newer


def _figures(
    student: Student,
    judged: History,
    condition: Condition,
    gains: Sequence[float],
    population: Sequence[float],
) -> ArmFigures:
    over = [own - other for own, other in zip(gains, population, strict=True)]
    ratings = {rated.rating for rated in judged.ratings}
    return ArmFigures(
        gain=fmean(gains),
        interval=bootstrap_mean(gains),
        over_population=fmean(over),
        over_interval=bootstrap_mean(over),
        accuracy=preference_accuracy(student, [judged], [condition])[0] if judged.choices else None,
        correlation=(
            rating_correlation(student, [judged], [condition])[0] if len(ratings) > 1 else None
        ),
    )


def _as_context(history: History) -> tuple[Message, ...]:
    """The conversation that led to the last of the known messages, and that message."""
    last = history.turns[-1]
    session = [*last.before, Message(role="user", content=last.words)]
    earlier = [turn for turn in history.turns[:-1] if not _within(turn.words, session)]
    return (*(Message(role="user", content=turn.words) for turn in earlier), *session)


def _within(words: str, session: Sequence[Message]) -> bool:
    return any(message.role == "user" and message.content == words for message in session)
