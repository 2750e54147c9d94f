"""Edits of one plan that cannot both have their way."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from operator import neg

import torch

from selfsteer.steering.operators import OPERATORS
from selfsteer.steering.operators.bases import orthonormal
from selfsteer.steering.operators.operator import Target
from selfsteer.steering.plan import Edit, Plan

# Cosine from which two directions count as the same one.
_SAME = 1 - 1e-6
# Share of a value within which two targets count as equal.
_CLOSE = 1e-6
# What `ablate` leaves where it removes all there is: nothing along any direction of its span.
_NOTHING_LEFT = Target("projection", lambda _: (0.0, 0.0), neg)


def contradictions(plan: Plan) -> Iterator[tuple[Edit, Edit, int]]:
    """Pairs of edits that put the same quantity to different values at a layer, and that layer.

    Whether they also meet at a token is for the caller to see. Edits with different gates are no
    such pair: the gates may tell them apart.
    """
    for one, other in combinations(plan.active, 2):
        a, b = _target(one), _target(other)
        if a is None or b is None or a.quantity != b.quantity or one.gate != other.gate:
            continue
        for layer in sorted(set(one.layers) & set(other.layers)):
            if _apart(one, a, other, b, layer):
                yield one, other, layer


def _target(edit: Edit) -> Target | None:
    """Where an edit puts an activation: `ablate` moves it by a share, and all of it is a place."""
    if edit.operator == "ablate" and abs(edit.strength - 1) <= _CLOSE:
        return _NOTHING_LEFT
    return OPERATORS[edit.operator].target


def _apart(one: Edit, a: Target, other: Edit, b: Target, layer: int) -> bool:
    """Whether no activation satisfies both at a layer."""
    alignment = _alignment(one, a, other, b, layer)
    if abs(alignment) < _SAME:
        return False
    low, high = a.interval(one.strength * _scale(one, layer))
    first, last = b.interval(other.strength * _scale(other, layer))
    if alignment < 0:
        first, last = sorted((b.opposite(first), b.opposite(last)))
    return _above(first, high) or _above(low, last)


def _alignment(one: Edit, a: Target, other: Edit, b: Target, layer: int) -> float:
    """1 where both edits are about the same directions, -1 where about opposite ones."""
    if a is b is _NOTHING_LEFT:
        return 0.0  # both leave nothing
    if a is _NOTHING_LEFT:
        return _share_in_span(other, one, layer)
    if b is _NOTHING_LEFT:
        return _share_in_span(one, other, layer)
    cosines = [
        float(x.unit(layer) @ y.unit(layer))
        for x, y in zip(one.vectors, other.vectors, strict=True)
    ]
    # Of several directions in order, each must be the same.
    return cosines[0] if len(cosines) == 1 else max(min(cosines), 0.0)


def _share_in_span(edit: Edit, ablation: Edit, layer: int) -> float:
    """How much of an edit's direction lies in the span that an ablation clears, 0 to 1."""
    raw = torch.stack([vector.unit(layer).double() for vector in ablation.vectors])
    return float((orthonormal(raw) @ edit.vector.unit(layer).double()).norm())


def _above(value: float, bound: float) -> bool:
    return value - bound > _CLOSE * max(1.0, abs(value), abs(bound))


def _scale(edit: Edit, layer: int) -> float:
    return edit.vector.residual_norms[layer] if OPERATORS[edit.operator].in_residual_norms else 1.0
