"""Explain the vector of a user that memory holds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from selfsteer.agents.users.histories import history_of
from selfsteer.errors import MemoryFileError, UserError
from selfsteer.memory.store import Memory
from selfsteer.memory.users import UserVector
from selfsteer.steering.model import Student
from selfsteer.steering.users.derivation.registry import METHODS, derive, read_by
from selfsteer.steering.users.explain import UserExplanation, explain_user
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.vectors import SteeringVector


@dataclass(frozen=True)
class Explained:
    """A version and what can be said of it."""

    version: UserVector
    told: UserExplanation


def explain_version(
    memory: Memory, student: Student, known: Known, user_id: str, *, samples: int = 8, seed: int = 0
) -> Explained:
    """The vector in use, else the newest one, explained by the observations it came from.

    Raises:
        UserError: unknown user, one without a vector for this student, or a vector that was made
            with something else than what is known of users now.
    """
    version = explainable(memory, student, user_id)
    if version.settings["encoder"] != known.encoder.id:
        # Leaving an observation out means deriving again: with another map everything moves.
        raise UserError(
            f"The vector {version.vector_id} of user {user_id!a} was derived with what was known "
            f"of users before; derive it again with 'selfsteer user derive {user_id}'."
        )
    evidence = set(version.evidence)
    observed = [one for one in memory.users.observations(user_id) if one.id in evidence]
    half_life = version.settings["half_life"]

    def again(history: History) -> SteeringVector:
        weight = None if half_life is None else float(str(half_life))
        return derive(version.method, student, history, known, half_life=weight)

    told = explain_user(
        student,
        memory.get_vector(version.vector_id),
        known,
        _read_by(version, history_of(observed)),
        again,
        dose=float(str(version.settings["dose"])),
        before=_before(memory, version),
        samples=samples,
        seed=seed,
    )
    return Explained(version, told)


def _before(memory: Memory, version: UserVector) -> SteeringVector | None:
    """The vector that came before one, derived by whatever method.

    None if it was altered on disk, too: that is no reason to say nothing of the newer one.
    """
    older = [
        one
        for one in memory.users.versions(version.user_id)
        if one.fingerprint == version.fingerprint
    ]
    place = [one.id for one in older].index(version.id)
    if not place:
        return None
    try:
        return memory.get_vector(older[place - 1].vector_id)
    except MemoryFileError as error:
        warnings.warn(f"{error} What changed since is not told.", stacklevel=3)
        return None


def _read_by(version: UserVector, history: History) -> History:
    """What the version's method reads; one of a method that is gone is told by everything."""
    return read_by(version.method, history) if version.method in METHODS else history


def explainable(memory: Memory, student: Student, user_id: str) -> UserVector:
    """The vector in use, else the newest one for this student.

    Raises:
        UserError: unknown user, or one without a vector for this student.
    """
    versions = [
        one for one in memory.users.versions(user_id) if one.fingerprint == student.fingerprint
    ]
    if not versions:
        raise UserError(
            f"User {user_id!a} has no vector for {student.name}; derive one with 'selfsteer user "
            f"derive {user_id}'."
        )
    return memory.users.current(user_id, student.fingerprint) or versions[-1]
