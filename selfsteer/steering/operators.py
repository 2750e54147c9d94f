"""How a vector changes an activation: pure functions, and what strength means to each.

A function takes the activation [B, T, D], unit directions [B, 1, D] and strengths [B, 1, 1], and
returns what to add to the activation, in a shape that broadcasts to it. A zero direction must
give a zero change: it stands for a row that is not edited.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Delta = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Operator:
    """One way to edit an activation.

    Attributes:
        name: what plans call it.
        unit: what strength means, in words.
        delta: the function described above.
        in_residual_norms: strength is given in residual norms of the layer, and multiplied by
            that norm before `delta` sees it.
        constant: `delta` does not look at the activation, so it can be computed once.
    """

    name: str
    unit: str
    delta: Delta
    in_residual_norms: bool = False
    constant: bool = False


def add(activation: Tensor, direction: Tensor, strength: Tensor) -> Tensor:
    """Move along the direction by a length (contrastive activation addition)."""
    return strength * direction


def ablate(activation: Tensor, direction: Tensor, strength: Tensor) -> Tensor:
    """Take away a fraction of the part along the direction (directional ablation at 1)."""
    along = (activation * direction).sum(-1, keepdim=True)
    return -strength * along * direction


OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        Operator("add", "residual norms of the layer", add, in_residual_norms=True, constant=True),
        Operator("ablate", "fraction of the projection that is removed", ablate),
    )
}
