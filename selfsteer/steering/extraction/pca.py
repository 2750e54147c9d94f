"""The first principal component of the pairs about their own midpoints.

Each side is taken relative to the midpoint of its pair, which leaves half the difference on one
side and minus that on the other: what the two sides share is gone, and what they differ in is
not. (Centring the differences instead would remove their mean, which is the concept itself.) The
idea of a component of paired differences: Zou et al., "Representation engineering" (2023).
"""

from __future__ import annotations

import torch
from torch import Tensor

from selfsteer.steering.extraction.activations import ContrastiveActivations


def pca(activations: ContrastiveActivations) -> Tensor:
    """``[L, D]``, along the first component, from the negative to the positive side.

    A component has neither sign nor scale: it gets the sign and the length of the mean
    difference's projection on it.
    """
    differences = activations.positive - activations.negative
    component = _first_right_singular_vector(differences)
    projection = (differences.mean(dim=1) * component).sum(dim=-1, keepdim=True)
    return projection * component


def _first_right_singular_vector(rows: Tensor) -> Tensor:
    """``[L, N, D]`` -> ``[L, D]`` of unit length, through the smaller of the two Gram matrices.

    The Gram matrix squares the condition number, which hurts small singular values; the largest,
    which is all that is needed here, keeps its precision.
    """
    _, n, width = rows.shape
    if n > width:
        components: Tensor = torch.linalg.eigh(rows.mT @ rows).eigenvectors
        return components[..., -1]
    weights: Tensor = torch.linalg.eigh(rows @ rows.mT).eigenvectors
    return torch.nn.functional.normalize((rows.mT @ weights[..., -1:]).squeeze(-1), dim=-1)
