"""Clamps: set the projection on a direction, or keep it on one side of a bound.

Setting a feature to a value is how Templeton et al. (2024, "Scaling monosemanticity") steer; here
it is the projection on a unit direction. What is orthogonal to the direction stays as it is.
"""

from __future__ import annotations

import math
from operator import neg

from torch import Tensor

from selfsteer.steering.operators.operator import Operator, Target


def clamp(activation: Tensor, direction: Tensor, strength: Tensor) -> Tensor:
    """Set the projection: x + (s - u.x) u."""
    return _missing(activation, direction, strength) * direction


def floor(activation: Tensor, direction: Tensor, strength: Tensor) -> Tensor:
    """Raise the projection where it is below: x + max(s - u.x, 0) u."""
    return _missing(activation, direction, strength).clamp_min(0) * direction


def ceiling(activation: Tensor, direction: Tensor, strength: Tensor) -> Tensor:
    """Lower the projection where it is above: x + min(s - u.x, 0) u."""
    return _missing(activation, direction, strength).clamp_max(0) * direction


def _missing(activation: Tensor, direction: Tensor, strength: Tensor) -> Tensor:
    return strength - (activation * direction).sum(-1, keepdim=True)


CLAMP = Operator(
    "clamp",
    "the projection on the direction, in residual norms of the layer",
    clamp,
    in_residual_norms=True,
    target=Target("projection", lambda s: (s, s), neg),
)
FLOOR = Operator(
    "floor",
    "the least projection on the direction, in residual norms of the layer",
    floor,
    in_residual_norms=True,
    target=Target("projection", lambda s: (s, math.inf), neg),
)
CEILING = Operator(
    "ceiling",
    "the greatest projection on the direction, in residual norms of the layer",
    ceiling,
    in_residual_norms=True,
    target=Target("projection", lambda s: (-math.inf, s), neg),
)
