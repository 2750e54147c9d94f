"""Does a vector predict its user: the figures on which it is put in use, and retired."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from selfsteer.errors import UserError
from selfsteer.steering.metrics.intervals import Interval
from selfsteer.steering.model import Student
from selfsteer.steering.plan import Plan
from selfsteer.steering.users.arms import MEASURES, Measure, measurable, score_arms
from selfsteer.steering.users.derivation.registry import METHODS, derive, read_by
from selfsteer.steering.users.dose import DOSES, user_plan
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.objective import Condition

FEWEST: dict[Measure, int] = {"messages": 3, "choices": 5, "ratings": 5}
"""What a vector has to be judged on, at least; the first measure that can be had judges."""

MOST = 200
"""Messages, choices and ratings that judge, the newest ones: more would say little more."""

_CONFIDENCE = 0.9


@dataclass(frozen=True)
class Verdict:
    """A user's vector against the population's, on what it was not derived from.

    Attributes:
        measure: what of the user judged.
        gain: the measure's figure, less that under the population's vector.
        interval: 90 %, of the paired difference, over messages, choices or ratings.
        judged: how many of them.
    """

    measure: Measure
    gain: float
    interval: Interval
    judged: int

    @property
    def better(self) -> bool:
        """Whether the vector beats the population's by more than chance would explain."""
        return self.interval.low > 0

    def scores(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "measure": self.measure,
            "gain": self.gain,
            "interval": list(self.interval),
            "judged": self.judged,
        }

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.gain:+.3f} [{low:+.3f}, {high:+.3f}] {MEASURES[self.measure]} over the "
            f"population, on {self.judged} {self.measure}"
        )


def judging_measure(history: History) -> Measure | None:
    """By what a history can judge: messages, else choices, else ratings; None by too few."""
    counts: dict[Measure, int] = {
        "messages": len(history.turns),
        "choices": len(history.choices),
        "ratings": len(history.ratings),
    }
    able = measurable(history)
    return next((m for m in FEWEST if m in able and counts[m] >= FEWEST[m]), None)


def judge_plan(student: Student, plan: Plan, population: Plan, held_out: History) -> Verdict:
    """Compare what is applied for a user with the population's vector, on some of the user's.

    Raises:
        UserError: fewer than three messages, five choices and five ratings that differ.
    """
    measure = judging_measure(held_out)
    if measure is None:
        needed = ", ".join(f"{count} {name}" for name, count in FEWEST.items())
        raise UserError(
            f"There is too little to judge a vector by; observe one of: {needed}, or more."
        )
    arms = {"own": [Condition(plan)], "population": [Condition(population)]}
    [scores] = score_arms(student, [_only(measure, held_out)], [arms])
    own, others = (scores[name].samples[measure] for name in ("own", "population"))
    over = own.minus(others)
    return Verdict(measure, over.value, over.interval(_CONFIDENCE), over.count)


def halves(history: History) -> tuple[History, History]:
    """The older half of a history, to derive from, and what of the newer half judges."""
    older, newer = history.halves()
    return older, newer.newest(MOST)


@dataclass(frozen=True)
class Dose:
    """How much of a vector is added.

    Attributes:
        value: times the raw vector.
        chosen_by: what of the user chose it; nothing where there was no choice.
    """

    value: float = 1.0
    chosen_by: History = field(default_factory=History)


def chosen_dose(
    student: Student, known: Known, history: History, method: str, half_life: float | None
) -> Dose:
    """The dose at which vectors of a method predict a user best, 1 where there is no choice.

    Judged by halves within the history: what is derived from its older half is tried on its newer
    half at every dose. Of equals the smallest.
    """
    if METHODS[method].dosed:
        return Dose()
    older, newer = halves(history)
    measure = next(iter(measurable(newer)), None)
    if measure is None or not can_derive(method, older):
        return Dose()
    vector = derive(method, student, older, known, half_life=half_life)
    arms = {str(dose): [Condition(user_plan(vector, dose))] for dose in DOSES}
    judging = _only(measure, newer)
    [scores] = score_arms(student, [judging], [arms])
    best = max(DOSES, key=lambda dose: scores[str(dose)].samples[measure].value)
    return Dose(best, judging)


def can_derive(method: str, history: History) -> bool:
    """Whether a history holds what a method reads; ratings that are all alike tell nothing."""
    read = read_by(method, history)
    return bool(read.turns or read.choices or "ratings" in measurable(read))


def population_plan(known: Known) -> Plan:
    """What is applied for everybody."""
    return user_plan(known.encoder.population_vector())


def _only(measure: Measure, history: History) -> History:
    return History(
        history.turns if measure == "messages" else (),
        history.choices if measure == "choices" else (),
        history.ratings if measure == "ratings" else (),
    )
