"""Directional ablation (Arditi et al. 2024), graded, of one direction or a subspace."""

from __future__ import annotations

from torch import Tensor

from selfsteer.steering.operators.bases import orthonormal
from selfsteer.steering.operators.operator import ANY_NUMBER, Operator


def ablate(activation: Tensor, directions: Tensor, strength: Tensor) -> Tensor:
    """Take away a fraction of the part in the span: x - s U^T U x, with orthonormal rows U."""
    if directions.shape[1] == 1:
        along = (activation * directions).sum(-1, keepdim=True)
        return -strength * along * directions
    return -strength * (activation @ directions.mT @ directions)


ABLATE = Operator(
    "ablate",
    "fraction of the projection that is removed",
    ablate,
    basis=orthonormal,
    vectors=ANY_NUMBER,
)
