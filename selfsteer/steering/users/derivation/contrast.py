"""The contrast of the user's messages with the population's: how their activations differ.

The mean difference of CAA (Rimsky et al., 2023) between the user's turns and everybody's, shrunk by
evidence: see `selfsteer.steering.users.shrinkage`.
"""

from __future__ import annotations

import torch

from selfsteer.steering.model import Student
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.objective import TURN
from selfsteer.steering.users.reading import read_turns
from selfsteer.steering.users.shrinkage import recency_weights
from selfsteer.steering.vectors import SteeringVector


def contrast(
    student: Student, history: History, known: Known, half_life: float | None
) -> SteeringVector:
    """The user's mean activation less the population's, as far as it is the user's and not chance.

    A direction of the layer that is read; its length is a distance between activations and says
    nothing of the dose.
    """
    encoder = known.encoder
    [read] = read_turns(student, [history], [encoder.read_layer])
    measured = encoder.space.measure(read.values[0].cpu())
    weights = recency_weights(len(measured), half_life)
    place = encoder.space.guess(measured, weights) * encoder.space.spread.sqrt()
    return SteeringVector(
        directions={encoder.read_layer: (place @ encoder.space.lift).to(torch.float32)},
        residual_norms={encoder.read_layer: float(read.norms.mean())},
        method="user_contrast",
        selector=TURN,
        concept="what a user tends to write",
        dataset_id="",
        student_fingerprint=student.fingerprint,
        notes={
            "encoder": encoder.id,
            "messages": len(measured),
            "unrest": round(encoder.space.unrest(measured, weights), 4),
            "sources": [turn.source for turn in history.turns if turn.source],
        },
    )
