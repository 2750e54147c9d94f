"""Between the coefficients of other libraries and our strengths.

Others add ``coefficient * direction``, with the direction as long as it happens to be. Here the
operator `add` adds ``strength * residual norm`` along the unit direction. The two are the same
where ``strength = coefficient * length / residual norm``, which differs from layer to layer.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.plan import Edit, Plan
from selfsteer.steering.vectors import SteeringVector


def strength_of(vector: SteeringVector, layer: int, coefficient: float = 1.0) -> float:
    """The strength, in residual norms of the layer, at which `add` does what a coefficient does.

    Raises:
        VectorError: the vector has no such layer.
    """
    if layer not in vector.directions:
        raise VectorError(f"Vector {vector.id} has no layer {layer}; it has {list(vector.layers)}.")
    length = float(vector.directions[layer].double().norm())
    return coefficient * length / vector.residual_norms[layer]


def coefficient_plan(
    vector: SteeringVector,
    coefficient: float,
    layers: Sequence[int] | None = None,
    selector: str = "all + special",
) -> Plan:
    """What another library does with this vector and coefficient: one edit for each layer.

    Args:
        coefficient: the raw multiplier of the direction (llama.cpp's scale, repeng's coeff,
            steering-vectors' multiplier, persona vectors' coef).
        layers: some of the vector's layers; None for all. Layers with a zero direction are left
            out, since nothing would be added there.
        selector: the tokens; others edit every token, special ones included.

    Raises:
        VectorError: the vector has no such layer, or is zero at all of them.
        PlanError: a coefficient that is not finite.
    """
    strengths = {
        layer: strength_of(vector, layer, coefficient)
        for layer in (vector.layers if layers is None else layers)
        if layer not in vector.directions or vector.directions[layer].any()
    }
    if not strengths:
        raise VectorError(f"Vector {vector.id} is zero at every layer asked for.")
    return Plan(
        tuple(
            Edit(vector, (layer,), strength, selector=selector)
            for layer, strength in strengths.items()
        )
    )


def as_added(vector: SteeringVector, strength: float) -> dict[int, Tensor]:
    """``[layer] -> [d_model]``: what `add` adds at a strength, so that a coefficient of 1 does it.

    A zero direction stays zero.
    """
    return {
        layer: direction.double()
        * (strength * vector.residual_norms[layer] / (float(direction.double().norm()) or 1.0))
        for layer, direction in vector.directions.items()
    }
