"""The methods by name. A method is one module, and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from selfsteer.errors import DatasetError
from selfsteer.steering.model import Student
from selfsteer.steering.users.arms import Measure
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


@dataclass(frozen=True)
class Method:
    """One way to derive.

    Attributes:
        function: from the student, the user's history, what is known of users and a half-life.
        reads: what of the history it reads; the rest is no evidence of its vectors.
        dosed: whether its vectors have the length at which they are to be added.
    """

    function: Callable[[Student, History, Known, float | None], SteeringVector]
    reads: tuple[Measure, ...] = ("messages",)
    dosed: bool = True


METHODS: dict[str, Method] = {
    "predictive": Method(predictive),
    "contrast": Method(contrast, dosed=False),
    "preference": Method(preference, ("choices", "ratings"), dosed=False),
    "traits": Method(traits),
    "positive_traits": Method(partial(traits, signed=False)),
    "optimised": Method(optimised),
}


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
    check_history(method, history)
    read = read_by(method, history)
    vector = METHODS[method].function(student, read, known, half_life)
    cut = cut_texts(student, read)
    return replace(vector, notes={**vector.notes, "cut": cut}) if cut else vector


def read_by(method: str, history: History) -> History:
    """The part of a history that a method reads."""
    reads = METHODS[method].reads
    return replace(
        history,
        turns=history.turns if "messages" in reads else (),
        choices=history.choices if "choices" in reads else (),
        ratings=history.ratings if "ratings" in reads else (),
    )


def check_history(method: str, history: History) -> None:
    """Refuse a history that holds nothing of what a method reads.

    Raises:
        DatasetError: it does not.
    """
    if not read_by(method, history).size:
        needs = " or ".join(METHODS[method].reads)
        others = [name for name in METHODS if read_by(name, history).size]
        raise DatasetError(
            f"Method {method!r} needs {needs} of the user, and there are none"
            + (f"; {', '.join(others)} would do." if others else ".")
        )


def check_method(method: str, half_life: float | None) -> None:
    """Refuse what no history could be derived by, before anything is learned or read.

    Raises:
        DatasetError: an unknown method, or a half-life that is not positive.
    """
    if method not in METHODS:
        names = ", ".join(METHODS)
        raise DatasetError(f"Unknown method {method!r} of user vectors; known are {names}.")
    recency_weights(1, half_life)
