"""How user vectors spread among simulated users: gains are measured, imitation is simulated.

Every simulated user has a vector of their own, and each vector is tried on every user's next
messages. With these gains users copy from each other (`selfsteer.agents.spread`), which is
held against drift: the same, but for that nobody looks at what is gained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from selfsteer.agents.spread import Floats, Spread, spread
from selfsteer.errors import ScenarioError
from selfsteer.scenarios.experiments.user_vectors.people import crowd, people
from selfsteer.scenarios.experiments.user_vectors.telling import messages_of
from selfsteer.steering.metrics.intervals import Interval
from selfsteer.steering.model import Student
from selfsteer.steering.users.dose import user_plan
from selfsteer.steering.users.fitting import Progress, fit_encoder
from selfsteer.steering.users.history import History
from selfsteer.steering.users.objective import NOTHING, Condition, fit_turns
from selfsteer.steering.vectors import SteeringVector

MESSAGES = 10  # that a vector is derived from
_FEWEST, _FEWEST_CROWD = 5, 50
# Seeds of the groups, so that no user is in two of them.
_CROWD, _JUDGED = range(2)

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Outcome:
    """What became of the vectors, over repetitions.

    Attributes:
        selection: how sharply users tell gains apart, per bit per token; 0 is drift.
        gain: bits per token that the vectors in use gain at the end, mean over users.
        effective: as many evenly used vectors would be as diverse, at the end.
        fixed: share of repetitions in which all users came to have one vector.
        population: share of users who have the population's vector at the end.
    """

    selection: float
    gain: tuple[float, Interval]
    effective: tuple[float, Interval]
    fixed: float
    population: float


@dataclass(frozen=True)
class SpreadStudy:
    """All that came out. Gains are bits per token of a user's next messages over nothing known.

    Attributes:
        crowd: users that were learned from.
        gains: [users, vectors] of each user's own vector, in order, and last the population's.
        own: mean gain of users under their own vectors.
        population: under the population's.
        best: where each has the one of all these vectors that turns out best for them.
        start: where the vectors are dealt out at random.
        imitation, drift: at the end.
        runs: what the plots show of both.
    """

    student: str
    fingerprint: str
    seed: int
    users: int
    crowd: int
    steps: int
    repetitions: int
    innovation: float
    gains: Floats
    own: float
    population: float
    best: float
    start: float
    imitation: Outcome
    drift: Outcome
    runs: tuple[Spread, Spread]

    def as_json(self) -> dict[str, Any]:
        """JSON values; of the runs the mean shares at every step."""
        left_out = ("gains", "runs")
        told = {name: value for name, value in vars(self).items() if name not in left_out}
        told |= {"imitation": asdict(self.imitation), "drift": asdict(self.drift)}
        told["gains"] = self.gains.round(5).tolist()
        told["shares"] = {
            name: run.shares.mean(0).round(4).tolist()
            for name, run in zip(("imitation", "drift"), self.runs, strict=True)
        }
        return told


def run_spread(
    student: Student,
    *,
    users: int = 40,
    population: int = 100,
    steps: int = 200,
    selection: float = 20.0,
    innovation: float = 0.02,
    repetitions: int = 50,
    seed: int = 0,
    report: Report,
) -> SpreadStudy:
    """Measure what every user's vector gains for every user, and let the vectors spread.

    Args:
        users: who have vectors and copy them.
        population: others, to learn from.
        steps, selection, innovation, repetitions: as `selfsteer.agents.spread.spread` takes them.
        report: is told of each stage, how much of it is done, and of how much.

    Raises:
        ScenarioError: too few users.
        PopulationError: as `spread` does.
    """
    if users < _FEWEST or population < _FEWEST_CROWD:
        raise ScenarioError(
            f"The spread of vectors needs {_FEWEST} users and {_FEWEST_CROWD} to learn from; got "
            f"{users} and {population}."
        )

    def told(progress: Progress) -> None:
        report("learning from the crowd", progress.done, progress.steps)

    encoder = fit_encoder(student, crowd(population, 10 * seed + _CROWD), report=told)
    judged = people(users, 10 * seed + _JUDGED)
    own = encoder.vectors(student, [person.past.latest(MESSAGES) for person in judged])
    vectors = [*own, encoder.population_vector()]
    gains = measured_gains(student, messages_of(judged), vectors, report)
    runs = tuple(
        spread(
            gains,
            steps=steps,
            selection=sharpness,
            innovation=innovation,
            repetitions=repetitions,
            seed=seed,
        )
        for sharpness in (selection, 0.0)
    )
    return SpreadStudy(
        student=student.name,
        fingerprint=student.fingerprint,
        seed=seed,
        users=users,
        crowd=population,
        steps=steps,
        repetitions=repetitions,
        innovation=innovation,
        gains=gains,
        own=float(gains.diagonal().mean()),
        population=float(gains[:, -1].mean()),
        best=float(gains.max(1).mean()),
        start=float(gains.mean()),
        imitation=_outcome(runs[0]),
        drift=_outcome(runs[1]),
        runs=(runs[0], runs[1]),
    )


def measured_gains(
    student: Student, judged: list[History], vectors: list[SteeringVector], report: Report
) -> Floats:
    """[users, vectors] bits per token of each user's messages that each vector gains."""
    conditions = [NOTHING, *(Condition(user_plan(vector)) for vector in vectors)]
    rows = []
    for number, history in enumerate(judged):
        report("every vector on every user", number, len(judged))
        [[nothing, *fits]] = fit_turns(student, [history], [conditions])
        rows.append([fit.gain(nothing) for fit in fits])
    report("every vector on every user", len(judged), len(judged))
    return np.array(rows)


def _outcome(run: Spread) -> Outcome:
    return Outcome(
        selection=run.selection,
        gain=_over_repetitions(run.gain[:, -1]),
        effective=_over_repetitions(run.effective[:, -1]),
        fixed=float((run.fixed >= 0).mean()),
        population=float(run.shares[:, -1, -1].mean()),
    )


def _over_repetitions(values: Floats) -> tuple[float, Interval]:
    """The mean, and the middle 90 %."""
    low, high = np.quantile(values, (0.05, 0.95))
    return float(values.mean()), Interval(float(low), float(high))
