"""One measurement of the study each: gains of arms, cold start, kinds of users, plateau, traits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import fmean

import torch
from torch import Tensor

from selfsteer.pocket.users import PROFILE_VALUES
from selfsteer.scenarios.experiments.user_vectors.people import Person, others
from selfsteer.steering.metrics.intervals import Interval, bootstrap_mean
from selfsteer.steering.metrics.plateau import Plateau, fit_plateau, size_that_keeps
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.basis import dictionary_error, effective_rank, user_matrix
from selfsteer.steering.users.dose import user_plan
from selfsteer.steering.users.encoder import UserEncoder
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.objective import (
    NOTHING,
    Condition,
    fit_turns,
    preference_accuracy,
    rating_correlation,
)
from selfsteer.steering.users.traits import trait_coordinates
from selfsteer.steering.vectors import SteeringVector

STRANGERS = 20  # other users whose vectors stand for a shuffled one
SIZES = (1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24)
PLATEAU_SHARE = 0.95
ATOMS, ATOMS_USED = (4, 8, 12, 16, 20, 24, 32), 4


@dataclass(frozen=True)
class Gain:
    """Bits per token of user turns over no vector and no prompt.

    Attributes:
        mean: over users.
        interval: 95 %, over users.
        users: each one's, in order.
    """

    mean: float
    interval: Interval
    users: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Gain:
        """With users as the independent units."""
        return cls(fmean(values), bootstrap_mean(values), tuple(values))

    def over(self, other: Gain) -> Gain:
        """The paired difference, user by user."""
        pairs = zip(self.users, other.users, strict=True)
        return Gain.of([mine - theirs for mine, theirs in pairs])


def gains(
    student: Student, judged: Sequence[History], conditions: Sequence[Sequence[Condition]]
) -> list[list[float]]:
    """For each user the gain of each of their conditions over none."""
    fits = fit_turns(student, judged, [[NOTHING, *several] for several in conditions])
    return [[fit.gain(user[0]) for fit in user[1:]] for user in fits]


def vector_gain(
    student: Student,
    judged: Sequence[History],
    vectors: Sequence[SteeringVector],
    dose: float = 1.0,
) -> Gain:
    """The gain of one vector for each user."""
    conditions = [[Condition(user_plan(vector, dose))] for vector in vectors]
    return Gain.of([user[0] for user in gains(student, judged, conditions)])


def shuffled_gain(
    student: Student, people: Sequence[Person], vectors: Sequence[SteeringVector]
) -> Gain:
    """For each user the mean gain of the vectors of twenty users with other profiles."""
    plans = [Condition(user_plan(vector)) for vector in vectors]
    conditions = [
        [plans[place] for place in others(people, number, STRANGERS)]
        for number in range(len(people))
    ]
    judged = [person.future for person in people]
    return Gain.of([fmean(user) for user in gains(student, judged, conditions)])


def history_gain(student: Student, people: Sequence[Person]) -> tuple[Gain, float]:
    """The raw latest session in context, with the assistant's replies; and its mean tokens."""
    conditions = [[Condition(before=person.sessions[-1])] for person in people]
    found = gains(student, [person.future for person in people], conditions)
    lengths = [
        sum(len(student.tokenizer(m.content)["input_ids"]) for m in person.sessions[-1])
        for person in people
    ]
    return Gain.of([user[0] for user in found]), fmean(lengths)


def profile_gains(student: Student, people: Sequence[Person]) -> list[Gain]:
    """The true profile as a system prompt, for each way of writing it down."""
    conditions = [
        [Condition(before=(Message(role="system", content=text),)) for text in texts]
        for texts in (person.user.written_profiles for person in people)
    ]
    found = gains(student, [person.future for person in people], conditions)
    return [Gain.of(column) for column in zip(*found, strict=True)]


def choices_and_ratings(
    student: Student, people: Sequence[Person], conditions: Sequence[Condition]
) -> tuple[float, float]:
    """Mean accuracy on held-out choices, and mean rank correlation with held-out ratings."""
    judged = [person.future for person in people]
    return (
        fmean(preference_accuracy(student, judged, conditions)),
        fmean(rating_correlation(student, judged, conditions)),
    )


def recovered(
    known: Known, people: Sequence[Person], vectors: Sequence[SteeringVector]
) -> dict[str, float]:
    """For each attribute the share of users whose strongest trait in it is the true one."""
    origin = known.encoder.population_vector()
    hits = dict.fromkeys(PROFILE_VALUES, 0)
    for person, vector in zip(people, vectors, strict=True):
        found = trait_coordinates(vector - origin, known.traits, known.encoder.layer)
        for family, values in PROFILE_VALUES.items():
            hits[family] += max(values, key=found.__getitem__) == person.user.truth[family]
    return {family: count / len(people) for family, count in hits.items()}


@dataclass(frozen=True)
class BasisCurve:
    """How the gain grows with the number of vectors that all users share.

    Attributes:
        sizes: of the basis.
        gains: the mean gain at each.
        keeps: the smallest size with 95 % of the gain of the largest one.
        interval: of ``keeps``, over users.
        plateau: the fitted curve.
        ranks: effective rank of the vectors of the first N users, by N.
        dictionary: the share of variance that a dictionary leaves when each user takes four of its
            atoms, by its size; None where scikit-learn is not installed.
    """

    sizes: tuple[int, ...]
    gains: tuple[float, ...]
    keeps: int
    interval: Interval
    plateau: Plateau
    ranks: dict[int, float]
    dictionary: dict[int, float] | None


def basis_curve(student: Student, encoder: UserEncoder, people: Sequence[Person]) -> BasisCurve:
    """Users told by 1, 2, ... shared vectors, the most telling first."""
    sizes = [size for size in SIZES if size <= encoder.basis.shape[0]]
    latest = [person.past.latest(10) for person in people]
    told = [encoder.truncated(size).vectors(student, latest) for size in sizes]
    conditions = [
        [Condition(user_plan(vector)) for vector in several] for several in zip(*told, strict=True)
    ]
    found = torch.tensor(gains(student, [person.future for person in people], conditions)).mT
    keeps, interval = size_that_keeps(sizes, found, PLATEAU_SHARE)
    means = found.mean(1).tolist()
    rows = user_matrix(told[-1], encoder.layer)
    return BasisCurve(
        tuple(sizes),
        tuple(means),
        keeps,
        interval,
        fit_plateau(sizes, means),
        _ranks(rows),
        _dictionary(rows) if find_spec("sklearn") else None,
    )


def _dictionary(rows: Tensor) -> dict[int, float]:
    sizes = [size for size in ATOMS if size <= len(rows)]
    return {size: dictionary_error(rows, size, used=ATOMS_USED) for size in sizes}


def _ranks(rows: Tensor) -> dict[int, float]:
    """By the number of users: 5, 10, 20, 50, ... up to all of them."""
    counts = [n for n in (5, 10, 20, 50, 100, 200, 500, 1000) if n < len(rows)] + [len(rows)]
    return {n: effective_rank(rows[:n] - rows[:n].mean(0)) for n in counts}
