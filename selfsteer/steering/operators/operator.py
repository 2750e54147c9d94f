"""What an operator is: a pure function, and what its strength and its vectors mean."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from selfsteer.steering.operators import bases

Delta = Callable[[Tensor, Tensor, Tensor], Tensor]
Basis = Callable[[Tensor], Tensor]

ONE = range(1, 2)
TWO = range(2, 3)
ANY_NUMBER = range(1, sys.maxsize)


@dataclass(frozen=True)
class Target:
    """Where an operator puts an activation, rather than how far it moves it.

    Attributes:
        quantity: what is put there; two edits contradict each other only over the same quantity.
        interval: the values of the quantity that the operator leaves, as (low, high), for a
            strength.
        opposite: the value that the same activation has when seen from the opposite direction.
    """

    quantity: str
    interval: Callable[[float], tuple[float, float]]
    opposite: Callable[[float], float]


@dataclass(frozen=True)
class Operator:
    """One way to edit an activation.

    Attributes:
        name: what plans call it.
        unit: what strength means, in words.
        delta: takes the activation [B, T, D], directions [B, K, D] and strengths [B, 1, 1] or
            [B, T, 1]; returns what to add to the activation, in a shape that broadcasts to it. A
            direction of zeros stands for a row that is not edited, or one with fewer directions:
            it must give no change.
        in_residual_norms: strength is given in residual norms of the layer, and multiplied by
            that norm before `delta` sees it.
        constant: `delta` does not look at the activation and is linear in the strength, so it can
            be computed once.
        basis: from the raw directions [N, D] of an edit's N vectors at a layer, in float64, to
            the K directions that `delta` gets.
        vectors: how many vectors an edit with this operator has.
        limits: the lowest and the highest strength.
        target: set where strength says where the activation is put. Strength 0 is then a target
            like any other, while for all other operators it changes nothing.
    """

    name: str
    unit: str
    delta: Delta
    in_residual_norms: bool = False
    constant: bool = False
    basis: Basis = bases.unit
    vectors: range = ONE
    limits: tuple[float, float] = (-math.inf, math.inf)
    target: Target | None = None
