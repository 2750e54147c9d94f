"""The methods by name. A method is one module, and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from selfsteer.errors import DatasetError
from selfsteer.steering.model import Student
from selfsteer.steering.users.derivation.contrast import contrast
from selfsteer.steering.users.derivation.optimised import optimised
from selfsteer.steering.users.derivation.predictive import predictive
from selfsteer.steering.users.derivation.preference import preference
from selfsteer.steering.users.derivation.traits import traits
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.replies import cut_texts
from selfsteer.steering.users.shrinkage import recency_weights
from selfsteer.steering.vectors import SteeringVector

Method = Callable[[Student, History, Known, float | None], SteeringVector]

METHODS: dict[str, Method] = {
    "predictive": predictive,
    "contrast": contrast,
    "preference": preference,
    "traits": traits,
    "optimised": optimised,
}

DOSED = frozenset({"predictive", "traits", "optimised"})
"""Methods whose vectors have the length at which they are to be added."""


def derive(
    method: str,
    student: Student,
    history: History,
    known: Known,
    *,
    half_life: float | None = None,
) -> SteeringVector:
    """The vector of a user.

    Where a message or a reply is so long that only its beginning counts, the notes say of how many
    (`cut`).

    Args:
        method: a name of `METHODS`.
        half_life: observations after which one counts half; None to count all alike.

    Raises:
        DatasetError: an unknown method, or one that needs what the history has not.
        VectorError: what is known belongs to another student, or the user shows nothing.
    """
    check_method(method, half_life)
    vector = METHODS[method](student, history, known, half_life)
    cut = cut_texts(student, history)
    return replace(vector, notes={**vector.notes, "cut": cut}) if cut else vector


def check_method(method: str, half_life: float | None) -> None:
    """Refuse what no history could be derived by, before anything is learned or read.

    Raises:
        DatasetError: an unknown method, or a half-life that is not positive.
    """
    if method not in METHODS:
        names = ", ".join(METHODS)
        raise DatasetError(f"Unknown method {method!r} of user vectors; known are {names}.")
    recency_weights(1, half_life)
