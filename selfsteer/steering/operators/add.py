"""Contrastive activation addition (Rimsky et al. 2024; ActAdd, Turner et al. 2023)."""

from __future__ import annotations

from torch import Tensor

from selfsteer.steering.operators.operator import Operator


def add(activation: Tensor, direction: Tensor, strength: Tensor) -> Tensor:
    """Move along the direction by a length: x + s u."""
    return strength * direction


ADD = Operator("add", "residual norms of the layer", add, in_residual_norms=True, constant=True)
