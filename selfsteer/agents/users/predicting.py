"""How well each thing that is known of a user predicts the user, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from selfsteer.agents.users.context import Context, as_context, conversation
from selfsteer.agents.users.histories import history_of
from selfsteer.agents.users.judging import (
    FEWEST,
    MOST,
    chosen_dose,
    halves,
    judging_measure,
    population_plan,
)
from selfsteer.agents.users.serving import plan_of, told_and_since, version_in_use
from selfsteer.errors import UserError
from selfsteer.memory.store import Memory
from selfsteer.steering.metrics.intervals import Interval
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.arms import Arm, Measure, Scores, score_arms
from selfsteer.steering.users.derivation.registry import check_history, check_method, derive
from selfsteer.steering.users.dose import user_plan
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.objective import NOTHING, Condition
from selfsteer.steering.users.samples import Sample

NAMES = {
    "none": "nothing",
    "population": "the population's vector",
    "own": "the user's vector",
    "shuffled": "other users' vectors",
    "traits": "named vectors alone",
    "history": "the raw history in context",
    "profile": "a written profile",
}


@dataclass(frozen=True)
class Figure:
    """What an arm comes to by one measure.

    Attributes:
        value: the measure's figure.
        interval: 95 %, over messages, choices or ratings.
        ahead: the figure of the user's own vector less this one, of the same units.
        ahead_interval: 95 %, of the paired difference.
    """

    value: float
    interval: Interval
    ahead: float
    ahead_interval: Interval


@dataclass(frozen=True)
class Prediction:
    """All arms, on what is held out of a user.

    Attributes:
        arms: by the keys of `NAMES`, those that could be had; each by measure: bits per token of
            messages over nothing, share of choices right, rank correlation with ratings.
        told: messages, choices and ratings that the arms know.
        judged: how many of each measure judge.
        dose: of the user's vector.
        version: the one in use that was judged; None for a vector derived from the older half.
        context: what the arm ``history`` puts before; None where there is no message to put.
    """

    arms: dict[str, dict[Measure, Figure]]
    told: int
    judged: dict[Measure, int]
    dose: float
    version: str | None
    context: Context | None

    def as_json(self) -> dict[str, Any]:
        """JSON values; of the context only how much it is."""
        told = asdict(self)
        if self.context is not None:
            told["context"]["messages"] = len(self.context.messages)
        return told


@dataclass(frozen=True)
class _Trial:
    """What is to be judged, and on what."""

    plan: Plan
    dose: float
    told: History
    judged: History
    version: str | None = None


def predict_user(
    memory: Memory,
    student: Student,
    known: Known,
    user_id: str,
    strangers: Sequence[History],
    *,
    method: str = "predictive",
    half_life: float | None = None,
    profile: str = "",
    in_use: bool = False,
) -> Prediction:
    """Derive from the older half of what is known of a user, and predict the newer half.

    The dose of a method that leaves it open is chosen within the older half.

    Args:
        strangers: other users, whose vectors stand for shuffled ones: simulated ones, so that
            nobody's data is used for another.
        half_life: messages after which one counts half; None to count all alike.
        profile: what somebody wrote about the user; empty leaves that arm out.
        in_use: judge the vector in use instead, on all that it was not derived from.

    Raises:
        UserError: unknown user, too little to judge by, or no vector in use where it is asked for.
        DatasetError: the method needs what was not observed.
    """
    if in_use:
        trial = _of_version(memory, student, user_id)
    else:
        trial = _of_halves(memory, student, known, user_id, method, half_life)
    told, judged = trial.told, trial.judged
    arms: dict[str, Arm] = {
        "none": [NOTHING],
        "population": [Condition(population_plan(known))],
        "own": [Condition(trial.plan)],
        "shuffled": [
            Condition(user_plan(vector)) for vector in known.encoder.vectors(student, strangers)
        ],
    }
    if known.traits and told.turns:
        traits = derive("traits", student, told, known, half_life=half_life)
        arms["traits"] = [Condition(user_plan(traits))]
    context = as_context(student, conversation(told), judged) if told.turns else None
    if context is not None:
        arms["history"] = [Condition(before=context.messages)]
    if profile.strip():
        arms["profile"] = [Condition(before=(Message(role="system", content=profile),))]
    [scores] = score_arms(student, [judged], [arms])
    return Prediction(
        arms={name: _figures(scores[name], scores["own"]) for name in NAMES if name in scores},
        told=told.size,
        judged={measure: one.count for measure, one in scores["own"].samples.items()},
        dose=trial.dose,
        version=trial.version,
        context=context,
    )


def predictable(
    memory: Memory, user_id: str, method: str, half_life: float | None = None
) -> tuple[History, History]:
    """The older half of what is known of a user, and what of the newer one judges.

    Raises:
        UserError: unknown user, or too little to judge by.
        DatasetError: an unknown method, one that needs what was not observed, or a half-life that
            is not positive.
    """
    check_method(method, half_life)
    history = history_of(memory.users.observations(user_id))
    older, newer = halves(history)
    if judging_measure(newer) is None:
        needed = ", ".join(f"{2 * count} {measure}" for measure, count in FEWEST.items())
        raise UserError(
            f"User {user_id!a} has {len(history.turns)} messages, {len(history.choices)} choices "
            f"and {len(history.ratings)} ratings; predicting needs one of: {needed}, half of them "
            "to be judged by."
        )
    check_history(method, older)
    return older, newer


def _of_halves(
    memory: Memory,
    student: Student,
    known: Known,
    user_id: str,
    method: str,
    half_life: float | None,
) -> _Trial:
    older, newer = predictable(memory, user_id, method, half_life)
    dose = chosen_dose(student, known, older, method, half_life)
    vector = derive(method, student, older, known, half_life=half_life)
    return _Trial(user_plan(vector, dose.value), dose.value, older, newer)


def _of_version(memory: Memory, student: Student, user_id: str) -> _Trial:
    version = version_in_use(memory, student, user_id)
    told, since = told_and_since(memory, version)
    if judging_measure(since) is None:
        raise UserError(
            f"Too little was observed of user {user_id!a} since the vector in use was derived to "
            "judge it by; observe more first."
        )
    dose = float(str(version.settings["dose"]))
    return _Trial(plan_of(memory, version), dose, told, since.newest(MOST), version.id)


def _figures(scores: Scores, own: Scores) -> dict[Measure, Figure]:
    return {
        measure: _figure(sample, own.samples[measure]) for measure, sample in scores.samples.items()
    }


def _figure(sample: Sample, own: Sample) -> Figure:
    ahead = own.minus(sample)
    return Figure(sample.value, sample.interval(), ahead.value, ahead.interval())
