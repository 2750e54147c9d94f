"""Several things that could be known of a user, side by side, by all measures of the objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Literal, NamedTuple, TypeVar

from selfsteer.steering.model import Student
from selfsteer.steering.users.history import History
from selfsteer.steering.users.objective import (
    NOTHING,
    Condition,
    Fit,
    choice_scores,
    fit_turns,
    rating_rewards,
)
from selfsteer.steering.users.samples import Sample, correlation_of, mean_of

Found = TypeVar("Found")
Measure = Literal["messages", "choices", "ratings"]
MEASURES: dict[Measure, str] = {
    "messages": "bits per token",
    "choices": "share of choices right",
    "ratings": "rank correlation with ratings",
}
"""What a user can be predicted in, and the figure that says how well."""

Arm = Sequence[Condition]
"""One thing that could be known. Several conditions, as of other users' vectors, are averaged."""


@dataclass(frozen=True)
class Scores:
    """What an arm is worth for one user.

    Attributes:
        gain: bits per token of all messages together, over nothing known; None without messages.
        samples: by measure, over the user's messages, choices or ratings; those that can be had.
    """

    gain: float | None
    samples: dict[Measure, Sample]


def measurable(history: History) -> tuple[Measure, ...]:
    """By which measures a history can judge: ratings need two that differ."""
    found: dict[Measure, bool] = {
        "messages": bool(history.turns),
        "choices": bool(history.choices),
        "ratings": len({rated.rating for rated in history.ratings}) > 1,
    }
    return tuple(measure for measure, there in found.items() if there)


def score_arms(
    student: Student, users: Sequence[History], arms: Sequence[Mapping[str, Arm]]
) -> list[dict[str, Scores]]:
    """For each user the scores of each of their arms, by all that the user can be judged by.

    All rows of a measure are read in one call, for all users and arms.

    Args:
        users: what judges.
        arms: of each user, by name.
    """
    told = [[one for arm in of_user.values() for one in arm] for of_user in arms]
    gains = _by_user("messages", users, told, partial(_gains, student))
    hits = _by_user("choices", users, told, partial(choice_scores, student))
    rewards = _by_user("ratings", users, told, partial(rating_rewards, student))
    found = []
    for number, (user, of_user) in enumerate(zip(users, arms, strict=True)):
        scores, place = {}, 0
        for name, arm in of_user.items():
            ours = slice(place, place + len(arm))
            scores[name] = _scores(
                user,
                gains.get(number, [])[ours],
                hits.get(number, [])[ours],
                rewards.get(number, [])[ours],
            )
            place += len(arm)
        found.append(scores)
    return found


def _by_user(
    measure: Measure,
    users: Sequence[History],
    told: Sequence[Sequence[Condition]],
    score: Callable[[Sequence[History], Sequence[Sequence[Condition]]], list[Found]],
) -> dict[int, Found]:
    """What is found of those users whom the measure can judge, by their number."""
    able = [number for number, user in enumerate(users) if measure in measurable(user)]
    found = score([users[n] for n in able], [told[n] for n in able]) if able else []
    return dict(zip(able, found, strict=True))


class _Gain(NamedTuple):
    """Bits per token over nothing known: of all messages together, and of each."""

    total: float
    each: list[float]


def _gains(
    student: Student, users: Sequence[History], told: Sequence[Sequence[Condition]]
) -> list[list[_Gain]]:
    """For each user and condition."""
    single = [History((turn,)) for user in users for turn in user.turns]
    conditions = [
        [NOTHING, *several] for user, several in zip(users, told, strict=True) for _ in user.turns
    ]
    fits = iter(fit_turns(student, single, conditions))
    found = []
    for user in users:
        nothing, *others = zip(*(next(fits) for _ in user.turns), strict=True)
        found.append([_gain(fits_of_one, nothing) for fits_of_one in others])
    return found


def _gain(fits: Sequence[Fit], nothing: Sequence[Fit]) -> _Gain:
    each = [fit.gain(over) for fit, over in zip(fits, nothing, strict=True)]
    return _Gain(_together(fits).gain(_together(nothing)), each)


def _together(fits: Sequence[Fit]) -> Fit:
    return Fit(sum(fit.nats for fit in fits), sum(fit.tokens for fit in fits))


def _scores(
    user: History,
    gains: Sequence[_Gain],
    hits: Sequence[Sequence[float]],
    rewards: Sequence[Sequence[float]],
) -> Scores:
    """The scores of an arm from what was found of its conditions, by measure."""
    samples: dict[Measure, Sample] = {}
    if gains:
        samples["messages"] = mean_of(_averaged([gain.each for gain in gains]))
    if hits:
        samples["choices"] = mean_of(_averaged(hits))
    if rewards:
        samples["ratings"] = correlation_of(rewards, [rated.rating for rated in user.ratings])
    return Scores(fmean(gain.total for gain in gains) if gains else None, samples)


def _averaged(conditions: Sequence[Sequence[float]]) -> list[float]:
    """The mean over conditions, unit by unit."""
    return [fmean(column) for column in zip(*conditions, strict=True)]
