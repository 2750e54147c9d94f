"""Angular steering (Vu & Nguyen 2025): rotation in a fixed plane; the norm is kept.

The plane is spanned by two directions, with an orthonormal basis b1, b2: b1 is the first direction,
b2 what the second has outside it. Angles count from b1 to b2, as in the paper. What an activation
has outside the plane stays as it is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from selfsteer.steering.operators.bases import orthonormal
from selfsteer.steering.operators.operator import TWO, Operator, Target


def rotate_in_plane(activation: Tensor, directions: Tensor, strength: Tensor) -> Tensor:
    """Turn the part in the plane by an angle from b1 towards b2."""
    along = activation @ directions.mT
    first, second = along[..., :1], along[..., 1:]
    cos, sin = strength.cos(), strength.sin()
    turned = torch.cat([cos * first - sin * second, sin * first + cos * second], dim=-1)
    return (turned - along) @ directions


def rotate_in_plane_to(activation: Tensor, directions: Tensor, strength: Tensor) -> Tensor:
    """Put the part in the plane, as long as it is, at an angle from b1 towards b2."""
    along = activation @ directions.mT
    length: Tensor = along.norm(dim=-1, keepdim=True)
    put = length * torch.cat([strength.cos(), strength.sin()], dim=-1)
    return (put - along) @ directions


ROTATE_IN_PLANE = Operator(
    "rotate_in_plane",
    "radians by which the part in the plane turns, from the first vector towards the second",
    rotate_in_plane,
    basis=orthonormal,
    vectors=TWO,
    limits=(-2 * math.pi, 2 * math.pi),
)
ROTATE_IN_PLANE_TO = Operator(
    "rotate_in_plane_to",
    "angle in the plane, in radians from the first vector towards the second",
    rotate_in_plane_to,
    basis=orthonormal,
    vectors=TWO,
    limits=(-2 * math.pi, 2 * math.pi),
    target=Target("angle in the plane", lambda s: (s, s), lambda angle: math.pi - angle),
)
