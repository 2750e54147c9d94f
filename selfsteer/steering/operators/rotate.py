"""Rotation of an activation in the plane that it spans with the direction; its norm is kept.

This is the great circle from the activation to the direction. Where the two are parallel there is
no such plane, and the activation stays as it is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from selfsteer.steering.operators.operator import Operator, Target

# Sine of the angle to the direction below which the plane is not determined.
_PARALLEL = 1e-6


def rotate(activation: Tensor, direction: Tensor, strength: Tensor) -> Tensor:
    """Turn by an angle towards the direction, away from it where negative.

    The turn ends at the direction itself, and at its opposite.
    """
    parts = _parts(activation, direction)
    angle = torch.atan2(parts[1], parts[0])
    return _put(activation, direction, parts, (angle - strength).clamp(0, math.pi))


def rotate_to(activation: Tensor, direction: Tensor, strength: Tensor) -> Tensor:
    """Turn until the angle to the direction is `strength`."""
    return _put(activation, direction, _parts(activation, direction), strength)


def _parts(activation: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """[B, T, 1] lengths along and across the direction."""
    along = (activation * direction).sum(-1, keepdim=True)
    return along, (activation - along * direction).norm(dim=-1, keepdim=True)


def _put(
    activation: Tensor, direction: Tensor, parts: tuple[Tensor, Tensor], angle: Tensor
) -> Tensor:
    """What to add so that the activation is at `angle` [B, 1 or T, 1] to the direction."""
    along, across = parts
    norm = torch.hypot(along, across)
    sideways = norm * angle.sin() / across - 1
    # (sideways + 1) times the part across, and the part along replaced.
    delta = sideways * activation + (norm * angle.cos() - (sideways + 1) * along) * direction
    defined = (across > _PARALLEL * norm) & direction.any(-1, keepdim=True)
    return torch.where(defined, delta, 0)


ROTATE = Operator(
    "rotate",
    "radians by which the activation turns towards the direction",
    rotate,
    limits=(-math.pi, math.pi),
)
ROTATE_TO = Operator(
    "rotate_to",
    "angle to the direction, in radians",
    rotate_to,
    limits=(0.0, math.pi),
    target=Target("angle", lambda s: (s, s), lambda angle: math.pi - angle),
)
