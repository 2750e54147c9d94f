"""The user's messages through the map that was learned to predict users (`UserEncoder`)."""

from __future__ import annotations

from selfsteer.steering.model import Student
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.vectors import SteeringVector


def predictive(
    student: Student, history: History, known: Known, half_life: float | None
) -> SteeringVector:
    """What the encoder adds for the user, at the strength at which it predicts best."""
    [vector] = known.encoder.vectors(student, [history], half_life=half_life)
    return vector
