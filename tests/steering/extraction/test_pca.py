"""PCA about pair midpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import cosine_similarity

from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.pca import pca


@pytest.mark.parametrize(("pairs", "width"), [(8, 32), (32, 8)], ids=["wide", "tall"])
def test_is_the_first_component_of_both_sides_about_the_midpoints(
    pairs: int, width: int, planted: Callable[..., Any]
) -> None:
    activations, _ = planted(noise=0.5, pairs=pairs, width=width)
    middle = (activations.positive + activations.negative) / 2
    both = torch.cat([activations.positive - middle, activations.negative - middle], dim=1)
    component = torch.linalg.svd(both.double(), full_matrices=False).Vh[:, 0]
    found = pca(activations).double()
    assert cosine_similarity(found, component, dim=-1).abs().min() > 1 - 1e-6


def test_follows_the_strongest_shift_rather_than_the_mean() -> None:
    """One pair in ten shifts far along another axis: the component turns there, the mean less."""
    positive = torch.zeros(1, 10, 3)
    positive[0, :, 0] = 1.0
    positive[0, 0, 1] = 20.0
    activations = ContrastiveActivations((0,), positive, torch.zeros(1, 10, 3), torch.ones(1))
    found = pca(activations)[0]
    assert found[1] > found[0] > 0


def test_without_any_difference_it_is_zero() -> None:
    same = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
    assert not pca(ContrastiveActivations((0, 1), same, same, torch.ones(2))).any()
