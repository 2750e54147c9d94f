"""The user as strengths on named vectors: what the shared basis can say of them, and no more."""

from __future__ import annotations

from dataclasses import replace

from selfsteer.errors import DatasetError
from selfsteer.steering.model import Student
from selfsteer.steering.users.derivation.predictive import predictive
from selfsteer.steering.users.history import History
from selfsteer.steering.users.known import Known
from selfsteer.steering.users.traits import of_traits, trait_coordinates
from selfsteer.steering.vectors import SteeringVector


def traits(
    student: Student,
    history: History,
    known: Known,
    half_life: float | None,
    *,
    signed: bool = True,
) -> SteeringVector:
    """The population's vector plus the sum of named vectors that is nearest to the user's own.

    Args:
        signed: also allow strengths below zero, of traits that the user avoids.

    Raises:
        DatasetError: there are no named vectors, or the user has no message.
    """
    if not known.traits:
        raise DatasetError("Method 'traits' needs named vectors; name some messages by trait.")
    own = predictive(student, history, known, half_life)
    origin = known.encoder.population_vector()
    strengths = trait_coordinates(own - origin, known.traits, known.encoder.layer, signed=signed)
    found = of_traits(strengths, known.traits) + origin
    notes = dict(own.notes) | {"coordinates": {n: round(c, 4) for n, c in strengths.items()}}
    return replace(
        found,
        method="user_traits",
        selector=own.selector,
        concept=own.concept,
        notes=notes,
        parents=tuple(vector.id for vector in known.traits.values()),
    )
