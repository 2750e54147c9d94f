"""Per-layer evidence by cross-validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from selfsteer.errors import DatasetError
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.evidence import layer_evidence


def gaussian(shift: float, pairs: int = 400, width: int = 8, seed: int = 0) -> Any:
    """Two layers of unpaired standard normal activations; the second one shifts by ``shift``."""
    generator = torch.Generator().manual_seed(seed)
    positive = torch.randn(2, pairs, width, generator=generator)
    negative = torch.randn(2, pairs, width, generator=generator)
    positive[1, :, 0] += shift
    return ContrastiveActivations((3, 7), positive, negative, torch.tensor([2.0, 4.0]))


@pytest.mark.parametrize("method", ["mean_difference", "pca"])
def test_tells_the_layer_with_the_concept_from_the_one_without(method: str) -> None:
    without, with_concept = layer_evidence(gaussian(3.0), method)
    assert (without.layer, with_concept.layer) == (3, 7)
    assert (without.residual_norm, with_concept.residual_norm) == (2.0, 4.0)
    assert with_concept.auroc > 0.97
    assert abs(without.auroc - 0.5) < 0.1


def test_effect_size_and_area_are_those_of_the_population() -> None:
    """A shift of 2 deviations: d = 2, AUROC = Phi(2 / sqrt 2) = 0.921, norm = 2."""
    evidence = layer_evidence(gaussian(2.0, pairs=4000))[1]
    assert evidence.effect_size == pytest.approx(2.0, abs=0.1)
    assert evidence.auroc == pytest.approx(0.921, abs=0.01)
    assert evidence.norm == pytest.approx(2.0, abs=0.1)


def test_noise_that_a_direction_could_be_fitted_to_gives_chance() -> None:
    """More dimensions than pairs: on its own pairs the direction separates perfectly."""
    areas = [
        layer_evidence(gaussian(0.0, pairs=20, width=400, seed=seed))[0].auroc for seed in range(20)
    ]
    assert abs(sum(areas) / len(areas) - 0.5) < 0.06
    activations = gaussian(0.0, pairs=20, width=400)
    direction = (activations.positive - activations.negative).mean(dim=1)[0]
    own = (activations.positive[0] @ direction).min() - (activations.negative[0] @ direction).max()
    assert own > 0


def test_is_the_same_for_the_same_seed(planted: Callable[..., Any]) -> None:
    activations, _ = planted(noise=1.0)
    assert layer_evidence(activations, seed=1) == layer_evidence(activations, seed=1)
    assert layer_evidence(activations, seed=1) != layer_evidence(activations, seed=2)


def test_sides_without_spread_or_difference_stay_finite() -> None:
    positive = torch.zeros(2, 6, 4)
    positive[1, :, 0] = 1.0
    same, apart = layer_evidence(
        ContrastiveActivations((0, 1), positive, torch.zeros(2, 6, 4), torch.ones(2))
    )
    assert (same.auroc, same.effect_size, same.norm) == (0.5, 0.0, 0.0)
    assert apart.auroc == 1.0
    assert 1e3 < apart.effect_size < float("inf")


def test_two_pairs_are_enough_and_one_is_not(planted: Callable[..., Any]) -> None:
    assert layer_evidence(planted(pairs=2)[0])[0].auroc >= 0
    with pytest.raises(DatasetError, match="two pairs"):
        layer_evidence(planted(pairs=1)[0])
    with pytest.raises(DatasetError, match="two folds"):
        layer_evidence(planted()[0], folds=1)
