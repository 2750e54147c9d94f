"""Fixtures for extraction: activations with a planted direction."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from selfsteer.steering.extraction.activations import ContrastiveActivations

Planted = tuple[ContrastiveActivations, Tensor]


@pytest.fixture
def planted() -> Callable[..., Planted]:
    """Builds activations and the unit direction ``[L, D]`` by which their sides differ."""

    def build(
        noise: float = 0.1, pairs: int = 64, width: int = 256, layers: int = 2, seed: int = 0
    ) -> Planted:
        """Every pair has a large part in common; ``noise`` is the deviation of each coordinate of
        the difference of a pair."""
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        truth = torch.nn.functional.normalize(normal(layers, width), dim=-1)
        common = 3 * normal(layers, pairs, width) + 5
        side = noise / 2**0.5
        positive = common + truth[:, None] / 2 + side * normal(layers, pairs, width)
        negative = common - truth[:, None] / 2 + side * normal(layers, pairs, width)
        norms = positive.norm(dim=-1).mean(dim=1)
        return ContrastiveActivations(tuple(range(layers)), positive, negative, norms), truth

    return build
