"""The study: learn from a crowd, derive vectors for other users, judge them on what comes next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from selfsteer.agents.users.context import Context
from selfsteer.errors import ScenarioError
from selfsteer.pocket.users import Kind, trait_messages
from selfsteer.scenarios.experiments.user_vectors.measures import Mean, means, recovered
from selfsteer.scenarios.experiments.user_vectors.people import Person, crowd, people
from selfsteer.scenarios.experiments.user_vectors.plateau import basis_curve
from selfsteer.scenarios.experiments.user_vectors.results import Arms, MethodRow, Study
from selfsteer.scenarios.experiments.user_vectors.telling import (
    best_wording,
    feedback_of,
    in_context,
    messages_of,
    shuffled,
    with_vectors,
    written,
)
from selfsteer.steering.model import Student
from selfsteer.steering.users.arms import Arm
from selfsteer.steering.users.derivation.registry import METHODS, derive
from selfsteer.steering.users.dose import best_dose
from selfsteer.steering.users.fitting import Progress, fit_encoder
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.objective import NOTHING
from selfsteer.steering.users.traits import trait_vectors
from selfsteer.steering.vectors import SteeringVector

MESSAGES = 10  # that a vector is derived from, unless said otherwise
COLD_START = (1, 2, 5, 10, 20)
_KINDS = 60  # users of each other kind, and those on whom what is slower is tried
_TRAIT_MESSAGES = 40
_HALF_LIFE = 3.0  # messages; for users who change
# Seeds of the groups, so that no user is in two of them.
_CROWD, _DEVELOPMENT, _JUDGED, _TRAITS, _OTHERS = range(5)

Report = Callable[[str, int, int], None]


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
    own = known.encoder.vectors(student, told)
    wording = _staged(report, "written profiles", best_wording, student, development)
    arms, contexts = _arms(student, known, judged, told, own, wording)
    by_messages = _staged(report, "what is known", means, student, messages_of(judged), arms)
    shown = {name: arm[:_KINDS] for name, arm in arms.items()}
    feedback = _staged(report, "choices and ratings", means, student, feedback_of(few), shown)
    return Study(
        student=student.name,
        fingerprint=student.fingerprint,
        seed=seed,
        users=users,
        crowd=population,
        arms=Arms(**by_messages["messages"]),
        choices=Arms(**feedback["choices"]),
        ratings=Arms(**feedback["ratings"]),
        recovered=recovered(known, judged, own),
        cold_start=_staged(report, "cold start", _cold_start, student, known, few),
        kinds=_staged(report, "other kinds of users", _kinds, student, known, groups(_OTHERS)),
        methods=_methods(student, known, few, development, report),
        basis=_staged(
            report, "size of the basis", basis_curve, student, known.encoder, judged, own
        ),
        history_tokens=fmean(context.tokens for context in contexts),
        history_messages=fmean(len(context.messages) for context in contexts),
        context_tokens=student.context_length,
        reach=student.reach,
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


def _arms(
    student: Student,
    known: Known,
    judged: Sequence[Person],
    told: Sequence[History],
    own: Sequence[SteeringVector],
    wording: int,
) -> tuple[dict[str, list[Arm]], list[Context]]:
    """The arms by the names of `Arms`, and what the one of raw history puts in context."""
    history, contexts = in_context(student, judged)
    everybody = [known.encoder.population_vector()] * len(judged)
    arms: dict[str, list[Arm]] = {
        "none": [[NOTHING] for _ in judged],
        "population": with_vectors(everybody),
        "own": with_vectors(own),
        "shuffled": shuffled(judged, own),
        "traits": with_vectors([derive("traits", student, one, known) for one in told]),
        "profile": written(judged, wording),
        "history": history,
    }
    return arms, contexts


def _cold_start(student: Student, known: Known, few: Sequence[Person]) -> dict[int, Mean]:
    return {
        count: _over_population(student, known, few, [p.past.latest(count) for p in few])
        for count in COLD_START
    }


def _kinds(student: Student, known: Known, seed: int) -> dict[str, Mean]:
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
) -> Mean:
    arms = {
        "own": with_vectors(known.encoder.vectors(student, told, half_life=half_life)),
        "population": with_vectors([known.encoder.population_vector()] * len(group)),
    }
    found = means(student, messages_of(group), arms)["messages"]
    return found["own"].over(found["population"])


def _methods(
    student: Student,
    known: Known,
    few: Sequence[Person],
    development: Sequence[Person],
    report: Report,
) -> dict[str, MethodRow]:
    rows = {}
    judged = [person.future for person in few]
    for number, (method, way) in enumerate(METHODS.items()):
        report("ways of deriving", number, len(METHODS))
        dose = 1.0
        if not way.dosed:
            tried = _derived(student, known, development[:20], method)
            dose = best_dose(student, tried, [person.future for person in development[:20]])
        vectors = _derived(student, known, few, method)
        found = means(student, judged, {method: with_vectors(vectors, dose)})
        gain, accuracy, correlation = (found[measure][method] for measure in found)
        rows[method] = MethodRow(gain, accuracy, correlation, dose)
    return rows


def _derived(
    student: Student, known: Known, group: Sequence[Person], method: str
) -> list[SteeringVector]:
    return [derive(method, student, person.past.latest(MESSAGES), known) for person in group]
