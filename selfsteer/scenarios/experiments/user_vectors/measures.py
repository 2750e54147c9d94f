"""What arms come to over users, and how often profiles are read back from vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from selfsteer.pocket.users import PROFILE_VALUES
from selfsteer.scenarios.experiments.user_vectors.people import Person
from selfsteer.steering.metrics.intervals import Interval, bootstrap_mean
from selfsteer.steering.model import Student
from selfsteer.steering.users.arms import (
    MEASURES,
    Arm,
    Measure,
    Scores,
    measurable,
    score_arms,
)
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.traits import trait_coordinates
from selfsteer.steering.vectors import SteeringVector


@dataclass(frozen=True)
class Mean:
    """A figure of each user, such as bits per token over nothing known, and what users come to.

    Attributes:
        mean: over users.
        interval: 95 %, over users.
        users: each one's, in order.
    """

    mean: float
    interval: Interval
    users: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """With users as the independent units."""
        return cls(fmean(values), bootstrap_mean(values), tuple(values))

    def over(self, other: Mean) -> Mean:
        """The paired difference, user by user."""
        pairs = zip(self.users, other.users, strict=True)
        return Mean.of([mine - theirs for mine, theirs in pairs])


def means(
    student: Student, judged: Sequence[History], arms: Mapping[str, Sequence[Arm]]
) -> dict[Measure, dict[str, Mean]]:
    """Every arm by all that judges: each user's figure, and what they come to.

    Args:
        arms: by name, one for each user.
    """
    each = [{name: arm[n] for name, arm in arms.items()} for n in range(len(judged))]
    scores = score_arms(student, judged, each)
    able = [measure for measure in MEASURES if all(measure in measurable(h) for h in judged)]
    return {
        measure: {name: Mean.of([_figure(of[name], measure) for of in scores]) for name in arms}
        for measure in able
    }


def _figure(scores: Scores, measure: Measure) -> float:
    """Messages count by their tokens, so that short ones weigh no more than they say."""
    if measure == "messages" and scores.gain is not None:
        return scores.gain
    return scores.samples[measure].value


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
