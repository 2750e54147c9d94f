"""How much of a user's vector is added."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from selfsteer.steering.model import Student
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.users.history import History
from selfsteer.steering.users.objective import NOTHING, TURN, Condition, fit_turns
from selfsteer.steering.vectors import SteeringVector

DOSES = (0.5, 1.0, 2.0, 4.0, 8.0)


def user_plan(vector: SteeringVector, dose: float = 1.0) -> Plan:
    """Add ``dose`` times the raw vector, at each of its layers, to what the user says.

    A layer at which the vector is zero is left out; a vector that is zero everywhere gives the plan
    that does nothing, for a user who is like everybody.
    """
    return Plan(
        tuple(
            Edit(vector, (layer,), dose * length / vector.residual_norms[layer], "add", TURN)
            for layer, direction in vector.directions.items()
            if (length := float(direction.double().norm()))
        )
    )


def best_dose(
    student: Student, vectors: Sequence[SteeringVector], held_out: Sequence[History]
) -> float:
    """The dose of `DOSES` at which the vectors of some users predict them best, on average.

    For methods whose vectors have the length of a contrast. Not the users who are judged.
    """
    conditions = [
        [NOTHING, *(Condition(user_plan(vector, dose)) for dose in DOSES)] for vector in vectors
    ]
    fits = fit_turns(student, held_out, conditions)
    gains = [fmean(user[i + 1].gain(user[0]) for user in fits) for i in range(len(DOSES))]
    return DOSES[max(range(len(DOSES)), key=gains.__getitem__)]
