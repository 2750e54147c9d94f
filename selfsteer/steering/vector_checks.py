"""What makes a steering vector, or two of them together, usable. All raise VectorError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from selfsteer.errors import VectorError

if TYPE_CHECKING:
    from selfsteer.steering.vectors import SteeringVector


def check_numbers(directions: Mapping[int, Tensor], norms: Mapping[int, float]) -> None:
    """Refuse numbers that cannot steer: no layer, unequal shapes, NaN, infinity, no norm."""
    if not directions:
        raise VectorError("A vector needs a direction at one layer or more; this one has none.")
    if directions.keys() != norms.keys():
        raise VectorError(
            f"A vector needs one residual norm for each layer: directions are at {list(directions)}"
            f", norms at {list(norms)}."
        )
    shape = next(iter(directions.values())).shape
    for layer, direction in directions.items():
        if layer < -1:
            raise VectorError(f"There is no layer {layer}; layers start at -1, the embedding.")
        if direction.ndim != 1 or direction.shape != shape or not direction.numel():
            raise VectorError(
                f"The direction at layer {layer} has shape {list(direction.shape)}; every layer "
                "should have [d_model]."
            )
        if not torch.isfinite(direction).all():
            raise VectorError(f"The direction at layer {layer} holds NaN or infinite values.")
        if not 0 < norms[layer] < float("inf"):
            raise VectorError(
                f"The residual norm at layer {layer} is {norms[layer]}; it should be positive."
            )


def check_directed(vector: SteeringVector) -> None:
    """Refuse a vector with a zero direction."""
    for layer in vector.layers:
        vector.unit(layer)


def check_match(left: SteeringVector, right: SteeringVector) -> None:
    """Refuse to combine vectors of different students, layers or widths."""
    if left.student_fingerprint != right.student_fingerprint:
        raise VectorError(
            f"Vectors {left.id} and {right.id} come from different students and cannot be combined."
        )
    if left.layers != right.layers or left.d_model != right.d_model:
        raise VectorError(
            f"Vectors {left.id} and {right.id} do not match: layers {list(left.layers)} of width "
            f"{left.d_model} against {list(right.layers)} of width {right.d_model}."
        )


def check_family(vectors: Sequence[SteeringVector]) -> None:
    """Refuse to combine vectors that do not all match the first one."""
    for other in vectors[1:]:
        check_match(vectors[0], other)
