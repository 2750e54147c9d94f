"""Gradient descent on the user's own messages, within a bound (Dunefsky and Cohan, 2025)."""

from __future__ import annotations

from dataclasses import replace

from selfsteer.steering.encoding import encode_turn
from selfsteer.steering.extraction.optimised import optimise_vector
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.objective import TURN
from selfsteer.steering.users.shrinkage import kept_share, recency_weights
from selfsteer.steering.vectors import SteeringVector

BOUND = 0.5
"""In residual norms: ten messages fit any vector if it may be long."""

_STEPS = 20
# As many messages as this keep half of what descent finds.
_HALF_KNOWN = 3.0


def optimised(
    student: Student, history: History, known: Known, half_life: float | None
) -> SteeringVector:
    """The vector within the bound that makes the user's known messages most likely.

    Old messages count less in what is made likely. With n messages, as what they are worth by
    their age and by how they agree, the vector is n / (n + 3) of the way from the population's to
    what was found.

    Raises:
        DatasetError: a user without messages.
    """
    encoder = known.encoder
    measured = encoder.measure(student, [history])[0]
    weights = recency_weights(len(measured), half_life)
    count = encoder.space.evidence(measured, weights)
    rows = [encode_turn(student, [Message(role="user", content=t.words)]) for t in history.turns]
    found = optimise_vector(
        student,
        rows,
        layer=encoder.layer,
        concept="what a user tends to write",
        selector=TURN,
        bound=BOUND,
        steps=_STEPS,
        weights=weights.tolist(),
    )
    kept = kept_share(count, _HALF_KNOWN)
    origin = encoder.population_vector().directions[encoder.layer]
    # Its own note of strength is of the vector before it was shrunk.
    descended = {name: told for name, told in found.notes.items() if name != "strength"}
    notes = descended | {
        "encoder": encoder.id,
        "messages": len(rows),
        "worth": round(count, 4),
        "sources": [turn.source for turn in history.turns if turn.source],
    }
    return replace(
        found,
        directions={encoder.layer: origin + kept * (found.directions[encoder.layer] - origin)},
        method="user_optimised",
        notes=notes,
    )
