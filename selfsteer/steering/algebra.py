"""The algebra of steering vectors, layer by layer, in float64, with its lineage recorded.

These functions stand behind the operators and methods of
:class:`selfsteer.steering.vectors.SteeringVector`. Both vectors must come from the same student and
have the same layers; residual norms of two vectors are averaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.vector_checks import check_match

if TYPE_CHECKING:
    from selfsteer.steering.vectors import SteeringVector

_UNDEFINED = 1e-9  # sine of the angle below which a great circle is not determined


def combine(
    left: SteeringVector,
    right: SteeringVector,
    operation: Callable[[Tensor, Tensor], Tensor],
    *,
    method: str,
    concept: str,
    notes: dict[str, float] | None = None,
) -> SteeringVector:
    """Apply ``operation`` to the two directions ``[d_model]`` of each layer.

    Raises:
        VectorError: the vectors are of different students, layers or widths.
    """
    check_match(left, right)
    return replace(
        left,
        directions={
            layer: operation(left.directions[layer].double(), right.directions[layer].double())
            for layer in left.layers
        },
        residual_norms={
            layer: (left.residual_norms[layer] + right.residual_norms[layer]) / 2
            for layer in left.layers
        },
        method=method,
        selector=left.selector if left.selector == right.selector else "",
        concept=concept,
        dataset_id=left.dataset_id if left.dataset_id == right.dataset_id else "",
        parents=(left.id, right.id),
        created="",
        notes=notes or {},
    )


def scale(vector: SteeringVector, factor: float) -> SteeringVector:
    """Multiply every direction by ``factor``."""
    return replace(
        vector,
        directions={layer: value.double() * factor for layer, value in vector.directions.items()},
        method="scale",
        parents=(vector.id,),
        created="",
        notes={"factor": float(factor)},
    )


def remove_component(direction: Tensor, other: Tensor) -> Tensor:
    """``direction`` without its part along ``other``, which must not be zero."""
    unit = other / other.norm()
    rest: Tensor = direction - (direction @ unit) * unit
    return rest


def slerp(start: Tensor, end: Tensor, t: float) -> Tensor:
    """Turn ``start`` towards ``end`` along the great circle; lengths are interpolated linearly.

    Source: Shoemake, "Animating rotation with quaternion curves" (1985). Neither direction may be
    zero.

    Raises:
        VectorError: the two directions are opposite, so that no path is the shortest.
    """
    length = torch.lerp(start.norm(), end.norm(), t)
    a, b = start / start.norm(), end / end.norm()
    # atan2 keeps its precision at small and at nearly straight angles, where acos loses it
    angle = 2 * math.atan2(float((a - b).norm()), float((a + b).norm()))
    if math.sin(angle) < _UNDEFINED:
        if angle > math.pi / 2:
            raise VectorError("slerp between opposite directions is undefined; go through a third.")
        return length * torch.lerp(a, b, t)
    mixed = math.sin((1 - t) * angle) * a + math.sin(t * angle) * b
    turned: Tensor = length * mixed / math.sin(angle)
    return turned
