"""Concept erasure by an affine map, as LEACE finds it (Belrose et al. 2023), graded.

An edit has k vectors of what is taken away, k of what measures how much of it is there, and, where
their number is odd, a last one: the point that stays where it is, for LEACE the mean of the
activations. With L and R the two groups as rows and m the point, or zero without one, the change is

    x - s P (x - m),   P = L^T (R L^T)^-1 R,

the projection onto the span of L along what R does not see. Where R spans the same as L, that is
`ablate`.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from selfsteer.errors import VectorError
from selfsteer.steering.operators.bases import unit
from selfsteer.steering.operators.operator import Operator

# Least singular value of R L^T, with rows of length 1: float32 activations have seven digits.
_SEEN = 1e-5


def erase(activation: Tensor, directions: Tensor, strength: Tensor) -> Tensor:
    """Take away a fraction of what is measured, counted from the point that stays.

    `directions` are threes of rows, as :func:`threes` gives them.
    """
    taken, measuring, point = (directions[:, part::3] for part in range(3))
    measured = activation @ measuring.mT - (point * measuring).sum(-1)[:, None]
    return -strength * (measured @ taken)


def threes(raw: Tensor) -> Tensor:
    """[3 k, D] from the [2 k, D] or [2 k + 1, D] vectors of an edit.

    For each direction that is taken away: itself, at length 1; what measures it and none of the
    others; and the point, as far as it lies along it. Threes of zeros then change nothing.

    Raises:
        VectorError: a direction that is taken away is measured by none, or linearly dependent.
    """
    k = len(raw) // 2
    taken, measuring = unit(raw[:k]), unit(raw[k : 2 * k])
    products = measuring @ taken.T
    if torch.linalg.svdvals(products).min() < _SEEN:
        raise VectorError(
            f"The first {k} of the {len(raw)} vectors of an erasure are not all seen by the {k} "
            "after them, so that they cannot be told apart; give each a vector that measures it."
        )
    dual = torch.linalg.solve(products, measuring)
    point = raw[2 * k] if len(raw) % 2 else torch.zeros_like(raw[0])
    kept = (dual @ point)[:, None] * taken
    return torch.stack([taken, dual, kept], dim=1).flatten(0, 1)


ERASE = Operator(
    "erase",
    "fraction that is removed of what the measuring vectors see",
    erase,
    basis=threes,
    vectors=range(2, sys.maxsize),
)
