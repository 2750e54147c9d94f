"""One concept in place of another: z' = z - z_source + z_target (Wendler 2024).

The two are vectors with their own lengths, for example the means of one language and of another.
"""

from __future__ import annotations

from torch import Tensor

from selfsteer.steering.operators.bases import difference
from selfsteer.steering.operators.operator import TWO, Operator


def swap(activation: Tensor, direction: Tensor, strength: Tensor) -> Tensor:
    """Take the source away and put the target in its place: x + s (target - source)."""
    return strength * direction


SWAP = Operator(
    "swap",
    "times the target minus the source, at their own lengths; 1 is the whole swap",
    swap,
    constant=True,
    basis=difference,
    vectors=TWO,
)
