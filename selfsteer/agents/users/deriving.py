"""Derive a user's vector, judge it, and put it in use or retire it."""

from __future__ import annotations

from dataclasses import dataclass

from selfsteer.agents.users.histories import history_of
from selfsteer.agents.users.judging import (
    MOST,
    Dose,
    Verdict,
    can_derive,
    chosen_dose,
    halves,
    judge_plan,
    judging_measure,
    population_plan,
)
from selfsteer.agents.users.serving import plan_of, told_and_since
from selfsteer.errors import UserError
from selfsteer.memory.check import set_aside_if_altered
from selfsteer.memory.store import Memory
from selfsteer.memory.users import UserVector
from selfsteer.steering.model import Student
from selfsteer.steering.users.derivation.registry import (
    check_history,
    check_method,
    derive,
    read_by,
)
from selfsteer.steering.users.dose import user_plan
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known


@dataclass(frozen=True)
class Derived:
    """A new version of a user's vector, and what was found of it.

    Attributes:
        version: in memory; in use if it was better, else held.
        verdict: of a vector derived in the same way from the older half of what is known, on the
            newer half; None where there is too little of it.
    """

    version: UserVector
    verdict: Verdict | None


def derive_user(
    memory: Memory,
    student: Student,
    known: Known,
    user_id: str,
    *,
    method: str = "predictive",
    half_life: float | None = None,
) -> Derived:
    """Derive a version from all that is known of a user, and use it if it predicts the user.

    Whether it does is judged before, by halves: what the older half gives is tried on the newer
    one; by messages, or for a user who wrote too few by choices, or by ratings. Where a method
    leaves the dose open, the older half chooses it.

    Args:
        method: a name of `selfsteer.steering.users.derivation.registry.METHODS`.
        half_life: messages after which one counts half; None to count all alike.

    Raises:
        UserError: an unknown user, or one of whom nothing is known that the method can use; one
            who was forgotten meanwhile, or somebody whom `known` was learned from. Nothing is
            stored then.
        DatasetError: an unknown method, or one that needs what was not observed.
    """
    history = derivable(memory, user_id, method, half_life)
    dose, verdict = _judge(student, known, history, method, half_life)
    vector = derive(method, student, history, known, half_life=half_life)
    plan = user_plan(vector, dose.value)
    evidence = read_by(method, history).sources | dose.chosen_by.sources
    with memory.users.transaction():  # a vector without its user would outlast forgetting
        _check_lasting(memory, known)
        version = memory.users.put_vector(
            user_id,
            memory.put_vector(vector),
            method=method,
            settings={"half_life": half_life, "dose": dose.value, "encoder": known.encoder.id},
            plan=plan.describe(),
            evidence=sorted(evidence),
            scores=verdict.scores() if verdict else {},
        )
        if verdict is not None and verdict.better:
            version = memory.users.put_in_use(version.id, verdict.scores(), str(verdict))
    return Derived(version, verdict)


def _check_lasting(memory: Memory, known: Known) -> None:
    if memory.users.stale_pools(known.encoder.id):
        raise UserError(
            "Somebody whom the map of users was learned from was forgotten or withdrew meanwhile; "
            "derive again."
        )


def derivable(memory: Memory, user_id: str, method: str, half_life: float | None) -> History:
    """What a user's vector would be derived from; to be asked before users at large are learned.

    Raises:
        UserError: an unknown user, or one of whom nothing is known.
        DatasetError: an unknown method, one that needs what was not observed, or a half-life that
            is not positive.
    """
    check_method(method, half_life)
    history = history_of(memory.users.observations(user_id))
    if not history.size:
        raise UserError(f"User {user_id!a} wrote and chose nothing yet; observe something first.")
    check_history(method, history)
    return history


def review_user(
    memory: Memory, student: Student, known: Known, user_id: str
) -> tuple[UserVector, Verdict | None] | None:
    """Judge the vector in use on what came since, and retire it if it is not better any more.

    To be put in use a vector has to show that it is better (the interval's low end is above zero);
    to be retired it has to look no better (the mean is not above zero), so that one in use does not
    come and go by chance.

    Returns:
        the version as it stands now, and the verdict; no verdict where its vector was altered on
        disk: then it is retired and set aside. None where none is in use, or too little came since.
    """
    version = memory.users.current(user_id, student.fingerprint)
    if version is None:
        return None
    if set_aside_if_altered(memory, version.vector_id):
        reason = "its vector was altered on disk"
        return memory.users.retire(version.id, version.scores, reason), None
    _, since = told_and_since(memory, version)
    since = since.newest(MOST)
    if judging_measure(since) is None:
        return None
    verdict = judge_plan(student, plan_of(memory, version), population_plan(known), since)
    if verdict.gain <= 0:
        version = memory.users.retire(version.id, verdict.scores(), str(verdict))
    return version, verdict


def _judge(
    student: Student, known: Known, history: History, method: str, half_life: float | None
) -> tuple[Dose, Verdict | None]:
    """The dose, and how a vector of the older half does on the newer half."""
    older, newer = halves(history)
    dose = chosen_dose(student, known, older, method, half_life)
    if judging_measure(newer) is None or not can_derive(method, older):
        return dose, None
    vector = derive(method, student, older, known, half_life=half_life)
    return dose, judge_plan(student, user_plan(vector, dose.value), population_plan(known), newer)
