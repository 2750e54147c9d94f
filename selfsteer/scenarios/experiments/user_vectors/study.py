"""The study: learn from a crowd, derive vectors for other users, judge them on what comes next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from selfsteer.errors import ScenarioError
from selfsteer.pocket.users import Kind, trait_messages
from selfsteer.scenarios.experiments.user_vectors.measures import (
    BasisCurve,
    Gain,
    basis_curve,
    choices_and_ratings,
    history_gain,
    profile_gains,
    recovered,
    shuffled_gain,
    vector_gain,
)
from selfsteer.scenarios.experiments.user_vectors.people import Person, crowd, people
from selfsteer.steering.model import Student
from selfsteer.steering.users.derivation.registry import DOSED, METHODS, derive
from selfsteer.steering.users.dose import best_dose, user_plan
from selfsteer.steering.users.fitting import Progress, fit_encoder
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.objective import Condition
from selfsteer.steering.users.traits import trait_vectors
from selfsteer.steering.vectors import SteeringVector

MESSAGES = 10  # that a vector is derived from, unless said otherwise
COLD_START = (1, 2, 5, 10, 20)
_KINDS = 60  # users of each other kind, and users on whom the slower methods are tried
_TRAIT_MESSAGES = 40
_HALF_LIFE = 3.0  # messages; for users who change
# Seeds of the groups, so that no user is in two of them.
_CROWD, _DEVELOPMENT, _JUDGED, _TRAITS, _OTHERS = range(5)

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Arms:
    """Gains in bits per token of held-out user turns, over nothing.

    Attributes:
        own: the user's own vector.
        population: what is added for everybody.
        shuffled: vectors of twenty users with other profiles, on average.
        traits: the user's coordinates on named vectors, and no more of them.
        profile: the true profile as a system prompt, in the wording that was best on other users.
        history: the ten messages and their replies in context.
    """

    own: Gain
    population: Gain
    shuffled: Gain
    traits: Gain
    profile: Gain
    history: Gain

    @property
    def best_prompt(self) -> Gain:
        """The better of the two prompt-side methods."""
        return max(self.profile, self.history, key=lambda gain: gain.mean)


@dataclass(frozen=True)
class MethodRow:
    """One way of deriving vectors, on some of the users.

    Attributes:
        gain: bits per token over nothing.
        accuracy: on held-out choices between two replies.
        correlation: Spearman's, with held-out ratings.
        dose: times the raw vector, chosen on other users where the method leaves it open.
    """

    gain: Gain
    accuracy: float
    correlation: float
    dose: float


@dataclass(frozen=True)
class Study:
    """All that came out.

    Attributes:
        users: who were judged.
        crowd: who was learned from.
        arms: the main comparison, from ten messages.
        recovered: by attribute, the share of users whose strongest trait is the true one.
        cold_start: own vector over the population's, by the number of messages.
        kinds: own over population for other kinds of users; drifting ones also with recency.
        methods: every way of deriving.
        basis: gain against the number of shared vectors.
        history_tokens: what stands in context for the arm ``history``, on average.
        context_tokens: how many the student can take; None where it does not say.
    """

    student: str
    fingerprint: str
    seed: int
    users: int
    crowd: int
    arms: Arms
    recovered: dict[str, float]
    cold_start: dict[int, Gain]
    kinds: dict[str, Gain]
    methods: dict[str, MethodRow]
    basis: BasisCurve
    history_tokens: float
    context_tokens: int | None

    @property
    def told_apart(self) -> float:
        """The share of users whose own vector predicts them better than a shuffled one."""
        pairs = zip(self.arms.own.users, self.arms.shuffled.users, strict=True)
        return sum(own > other for own, other in pairs) / self.users

    def as_json(self) -> dict[str, Any]:
        """JSON values; each user's own figures are left out but for the main comparison."""
        told = asdict(self)
        told["told_apart"] = self.told_apart
        return told


def run_study(
    student: Student, *, users: int = 200, population: int = 200, seed: int = 0, report: Report
) -> Study:
    """Run all of it.

    Args:
        users: to derive vectors for and judge.
        population: others, to learn from.
        report: is told of each stage, how much of it is done, and of how much.

    Raises:
        ScenarioError: too few users for any of the figures.
    """
    if users < 25 or population < 10:
        raise ScenarioError(
            f"The study needs 25 users to judge and 10 to learn from; got {users} and {population}."
        )
    groups = partial(_seed, seed)
    known = _learn(student, population, groups, report)
    judged = people(users, groups(_JUDGED))
    few = judged[:_KINDS]
    development = people(_KINDS, groups(_DEVELOPMENT))
    told = [person.past.latest(MESSAGES) for person in judged]
    report("vectors of the judged users", 0, 1)
    own = known.encoder.vectors(student, told)
    future = [person.future for person in judged]
    history, history_tokens = history_gain(student, judged)
    arms = Arms(
        own=vector_gain(student, future, own),
        population=vector_gain(student, future, [known.encoder.population_vector()] * users),
        shuffled=_staged(report, "shuffled vectors", shuffled_gain, student, judged, own),
        traits=vector_gain(student, future, [derive("traits", student, h, known) for h in told]),
        profile=_staged(report, "written profiles", _profile, student, judged, development),
        history=history,
    )
    return Study(
        student=student.name,
        fingerprint=student.fingerprint,
        seed=seed,
        users=users,
        crowd=population,
        arms=arms,
        recovered=recovered(known, judged, own),
        cold_start=_staged(report, "cold start", _cold_start, student, known, few),
        kinds=_staged(report, "other kinds of users", _kinds, student, known, groups(_OTHERS)),
        methods=_methods(student, known, few, development, report),
        basis=_staged(report, "size of the basis", basis_curve, student, known.encoder, judged),
        history_tokens=history_tokens,
        context_tokens=student.context_length,
    )


def _seed(seed: int, group: int) -> int:
    return 10 * seed + group


def _staged(report: Report, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    report(name, 0, 1)
    found = function(*arguments)
    report(name, 1, 1)
    return found


def _learn(
    student: Student, population: int, groups: Callable[[int], int], report: Report
) -> Known:
    def told(progress: Progress) -> None:
        report("learning from the crowd", progress.done, progress.steps)

    encoder = fit_encoder(student, crowd(population, groups(_CROWD)), report=told)
    examples = trait_messages(_TRAIT_MESSAGES, seed=groups(_TRAITS))
    return Known(encoder, trait_vectors(student, encoder, examples))


def _profile(student: Student, judged: Sequence[Person], development: Sequence[Person]) -> Gain:
    """The wording that gains most on other users."""
    tried = [gain.mean for gain in profile_gains(student, development)]
    return profile_gains(student, judged)[tried.index(max(tried))]


def _cold_start(student: Student, known: Known, few: Sequence[Person]) -> dict[int, Gain]:
    return {
        count: _over_population(student, known, few, [p.past.latest(count) for p in few])
        for count in COLD_START
    }


def _kinds(student: Student, known: Known, seed: int) -> dict[str, Gain]:
    """Users who change half-way, who are noisy, and who show one thing and do another.

    What they are learned from is their first session alone.
    """
    kinds: tuple[Kind, ...] = ("drifting", "noisy", "adversarial")
    groups = {kind: people(_KINDS, seed, kind) for kind in kinds}
    shown = {
        kind: [History(person.past.turns[:MESSAGES]) for person in group]
        for kind, group in groups.items()
    }
    found = {
        str(kind): _over_population(student, known, groups[kind], shown[kind]) for kind in kinds
    }
    found["drifting, recency"] = _over_population(
        student, known, groups["drifting"], shown["drifting"], _HALF_LIFE
    )
    return found


def _over_population(
    student: Student,
    known: Known,
    group: Sequence[Person],
    told: Sequence[History],
    half_life: float | None = None,
) -> Gain:
    future = [person.future for person in group]
    own = known.encoder.vectors(student, told, half_life=half_life)
    nobody = [known.encoder.population_vector()] * len(group)
    return vector_gain(student, future, own).over(vector_gain(student, future, nobody))


def _methods(
    student: Student,
    known: Known,
    few: Sequence[Person],
    development: Sequence[Person],
    report: Report,
) -> dict[str, MethodRow]:
    rows = {}
    for number, method in enumerate(METHODS):
        report("ways of deriving", number, len(METHODS))
        dose = 1.0
        if method not in DOSED:
            tried = _derived(student, known, development[:20], method)
            dose = best_dose(student, tried, [person.future for person in development[:20]])
        vectors = _derived(student, known, few, method)
        conditions = [Condition(user_plan(vector, dose)) for vector in vectors]
        accuracy, correlation = choices_and_ratings(student, few, conditions)
        gain = vector_gain(student, [person.future for person in few], vectors, dose)
        rows[method] = MethodRow(gain, accuracy, correlation, dose)
    return rows


def _derived(
    student: Student, known: Known, group: Sequence[Person], method: str
) -> list[SteeringVector]:
    return [derive(method, student, person.past.latest(MESSAGES), known) for person in group]
