"""The difference of the means of the two sides.

Source: Rimsky et al., "Steering Llama 2 via contrastive activation addition" (2023). What every
example shares cancels in the difference, whatever its mean, so that the shift of the concept is
left.
"""

from __future__ import annotations

from torch import Tensor

from selfsteer.steering.extraction.activations import ContrastiveActivations


def mean_difference(activations: ContrastiveActivations) -> Tensor:
    """``[L, D]``, the mean of the positive side minus the mean of the negative side."""
    return (activations.positive - activations.negative).mean(dim=1)
