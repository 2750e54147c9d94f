"""Gradient descent on the user's own messages, within a bound (Dunefsky and Cohan, 2025)."""

from __future__ import annotations

from dataclasses import replace

from selfsteer.errors import DatasetError
from selfsteer.steering.encoding import encode_turn
from selfsteer.steering.extraction.optimised import optimise_vector
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.objective import TURN
from selfsteer.steering.vectors import SteeringVector

BOUND = 0.5
"""In residual norms: ten messages fit any vector if it may be long."""

_STEPS = 20


def optimised(
    student: Student, history: History, known: Known, half_life: float | None
) -> SteeringVector:
    """The vector within the bound that makes the user's known messages most likely.

    Raises:
        DatasetError: a user without messages, or a half-life, which descent knows nothing of.
    """
    if not history.turns:
        raise DatasetError("Method 'optimised' needs messages of the user; there is none.")
    if half_life is not None:
        raise DatasetError("Method 'optimised' weighs all messages alike; give no half-life.")
    rows = [encode_turn(student, [Message(role="user", content=t.words)]) for t in history.turns]
    found = optimise_vector(
        student,
        rows,
        layer=known.encoder.layer,
        concept="what a user tends to write",
        selector=TURN,
        bound=BOUND,
        steps=_STEPS,
    )
    notes = dict(found.notes) | {
        "messages": len(rows),
        "sources": [turn.source for turn in history.turns if turn.source],
    }
    return replace(found, method="user_optimised", notes=notes)
