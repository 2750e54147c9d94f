"""A user as strengths on named vectors that all users share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.breeding import weighted_sum
from selfsteer.steering.model import Student
from selfsteer.steering.users.encoder import UserEncoder
from selfsteer.steering.users.history import History, Turn
from selfsteer.steering.vectors import SteeringVector

PENALTY = 0.1
"""Of the coordinates' squares, in units of the mean squared length of the named vectors."""

_SWEEPS, _SETTLED = 1000, 1e-10


def trait_vectors(
    student: Student, encoder: UserEncoder, examples: Mapping[str, Sequence[str]]
) -> dict[str, SteeringVector]:
    """For each trait what a user is given who shows it, over one who shows all traits alike.

    Args:
        examples: messages that show each trait; two traits or more.

    Raises:
        DatasetError: a trait without messages.
        VectorError: fewer than two traits, or another student.
    """
    if len(examples) < 2:
        raise VectorError("Traits are told from each other; name two or more of them.")
    histories = [History(tuple(map(Turn, texts))) for texts in examples.values()]
    places = torch.stack([rows.mean(0) for rows in encoder.measure(student, histories)])
    places /= encoder.space.spread.clamp(min=1e-12).sqrt()
    pushes = (places - places.mean(0)).float() @ encoder.weights @ encoder.basis
    return {
        name: SteeringVector(
            directions={encoder.layer: push * encoder.norm},
            residual_norms={encoder.layer: encoder.norm},
            method="trait",
            selector="response",
            concept=name,
            dataset_id="",
            student_fingerprint=student.fingerprint,
            notes={"encoder": encoder.id, "messages": len(examples[name])},
        )
        for name, push in zip(examples, pushes, strict=True)
    }


def trait_coordinates(
    vector: SteeringVector,
    named: Mapping[str, SteeringVector],
    layer: int,
    *,
    signed: bool = True,
) -> dict[str, float]:
    """The strengths on named vectors whose sum is nearest to a vector, shrunk towards zero (ridge).

    Args:
        vector: of a user, less the population's.
        named: the shared basis.
        layer: at which all are compared.
        signed: also allow strengths below zero, of traits that the user avoids.

    Raises:
        VectorError: no named vectors, a layer that one of them has not, or widths that differ.
    """
    if not named:
        raise VectorError("There are no named vectors to tell a user by; give one or more.")
    for one in (vector, *named.values()):
        if layer not in one.directions or one.d_model != vector.d_model:
            raise VectorError(f"Vector {one.id} has no direction at layer {layer} to compare with.")
    rows = torch.stack([one.directions[layer].double() for one in named.values()])
    wanted = vector.directions[layer].double()
    gram = rows @ rows.mT
    gram += PENALTY * gram.diagonal().mean() * torch.eye(len(rows), dtype=torch.float64)
    target = rows @ wanted
    found = torch.linalg.solve(gram, target) if signed else _non_negative(gram, target)
    return dict(zip(named, found.tolist(), strict=True))


def of_traits(
    coordinates: Mapping[str, float], named: Mapping[str, SteeringVector]
) -> SteeringVector:
    """The vector that some coordinates stand for, with the named ones as its parents."""
    return weighted_sum([(coordinates[name], named[name]) for name in coordinates])


def _non_negative(gram: Tensor, target: Tensor) -> Tensor:
    """Minimise x' gram x / 2 - target' x over x >= 0, one coordinate after the other.

    The penalty makes the problem strictly convex, so that this finds its one solution.
    """
    found = torch.zeros_like(target)
    for _ in range(_SWEEPS):
        before = found.clone()
        for place in range(len(found)):
            rest = target[place] - gram[place] @ found + gram[place, place] * found[place]
            found[place] = (rest / gram[place, place]).clamp(min=0)
        if (found - before).abs().max() <= _SETTLED * found.abs().max():
            break
    return found
