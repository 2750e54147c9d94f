"""Edits of one plan that cannot both have their way."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from selfsteer.steering.operators import OPERATORS
from selfsteer.steering.operators.operator import Target
from selfsteer.steering.plan import Edit, Plan

# Cosine from which two directions count as the same one.
_SAME = 1 - 1e-6
# Share of a value within which two targets count as equal.
_CLOSE = 1e-6


def contradictions(plan: Plan) -> Iterator[tuple[Edit, Edit, int]]:
    """Pairs of edits that put the same quantity to different values at a layer, and that layer.

    Whether they also meet at a token is for the caller to see. Edits with different gates are no
    such pair: the gates may tell them apart.
    """
    for one, other in combinations(plan.active, 2):
        a, b = OPERATORS[one.operator].target, OPERATORS[other.operator].target
        if a is None or b is None or a.quantity != b.quantity or one.gate != other.gate:
            continue
        for layer in sorted(set(one.layers) & set(other.layers)):
            if _apart(one, a, other, b, layer):
                yield one, other, layer


def _apart(one: Edit, a: Target, other: Edit, b: Target, layer: int) -> bool:
    """Whether no activation satisfies both at a layer."""
    cosines = [
        float(x.unit(layer) @ y.unit(layer))
        for x, y in zip(one.vectors, other.vectors, strict=True)
    ]
    low, high = a.interval(one.strength * _scale(one, layer))
    first, last = b.interval(other.strength * _scale(other, layer))
    if cosines[0] <= -_SAME and len(cosines) == 1:
        first, last = sorted((b.opposite(first), b.opposite(last)))
    elif min(cosines) < _SAME:
        return False
    return _above(first, high) or _above(low, last)


def _above(value: float, bound: float) -> bool:
    return value - bound > _CLOSE * max(1.0, abs(value), abs(bound))


def _scale(edit: Edit, layer: int) -> float:
    return edit.vector.residual_norms[layer] if OPERATORS[edit.operator].in_residual_norms else 1.0
