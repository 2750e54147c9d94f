"""The algebra of steering vectors, layer by layer, in float64, with its lineage recorded.

These functions stand behind the operators and methods of
:class:`selfsteer.steering.vectors.SteeringVector`, and :mod:`selfsteer.steering.breeding` builds on
them. All vectors must come from the same student and have the same layers; residual norms are
averaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.vector_checks import check_family

if TYPE_CHECKING:
    from selfsteer.steering.vectors import SteeringVector

_UNDEFINED = 1e-9  # sine of the angle below which a great circle is not determined
_CONCEPT = 400  # characters of the concept of a composed vector


def combine(
    vectors: Sequence[SteeringVector],
    operation: Callable[..., Tensor],
    *,
    method: str,
    concept: str,
    notes: Mapping[str, Any] | None = None,
) -> SteeringVector:
    """Apply ``operation`` to the directions ``[d_model]`` of all ``vectors``, layer by layer.

    Raises:
        VectorError: the vectors are of different students, layers or widths.
    """
    check_family(vectors)
    directions = {
        layer: operation(*(vector.directions[layer].double() for vector in vectors))
        for layer in vectors[0].layers
    }
    return descend(vectors, directions, method=method, concept=concept, notes=notes)


def descend(
    parents: Sequence[SteeringVector],
    directions: Mapping[int, Tensor],
    *,
    method: str,
    concept: str,
    notes: Mapping[str, Any] | None = None,
) -> SteeringVector:
    """The vector with these ``directions`` and what ``parents``, which match, leave to a child."""
    return replace(
        parents[0],
        directions=directions,
        residual_norms={
            layer: fmean(parent.residual_norms[layer] for parent in parents)
            for layer in parents[0].layers
        },
        method=method,
        selector=_shared(parent.selector for parent in parents),
        concept=_shortened(concept),
        dataset_id=_shared(parent.dataset_id for parent in parents),
        parents=tuple(parent.id for parent in parents),
        created="",
        notes=notes or {},
    )


def _shared(values: Iterable[str]) -> str:
    """The value that all have; empty where they differ."""
    different = set(values)
    return different.pop() if len(different) == 1 else ""


def _shortened(concept: str) -> str:
    """A concept of bounded length: those of parents would add up, and double in every generation.

    What is cut off is found again through the parents.
    """
    return (
        concept if len(concept) <= _CONCEPT else f"{concept[: _CONCEPT - 1]}\N{HORIZONTAL ELLIPSIS}"
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
