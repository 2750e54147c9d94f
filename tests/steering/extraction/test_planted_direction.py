"""Every estimator of the mean shift finds a planted direction, with its sign and its length.

The rule: no method centres away the mean difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import cosine_similarity

from selfsteer.steering.extraction import registry
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.registry import extract
from tests.steering.extraction.populations import NORMAL, SHIFT, recovered


def test_the_lists_are_complete() -> None:
    assert {*SHIFT, *NORMAL} == set(registry._METHODS)


@pytest.mark.parametrize("method", SHIFT)
@pytest.mark.parametrize("seed", range(5))
def test_recovers_the_direction_from_negative_to_positive(method: str, seed: int) -> None:
    assert recovered(method, seed) >= 0.95


@pytest.mark.parametrize("method", SHIFT)
@pytest.mark.parametrize("seed", range(5))
def test_recovers_its_length(method: str, seed: int, planted: Callable[..., Any]) -> None:
    found = extract(method, planted(seed=seed)[0])
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(2), atol=0.1, rtol=0)


@pytest.mark.parametrize("method", SHIFT + NORMAL)
def test_swapping_the_sides_turns_the_direction_around(
    method: str, planted: Callable[..., Any]
) -> None:
    activations, _ = planted()
    swapped = ContrastiveActivations(
        activations.layers, activations.negative, activations.positive, activations.residual_norms
    )
    torch.testing.assert_close(
        extract(method, swapped), -extract(method, activations), atol=1e-4, rtol=1e-3
    )


def test_the_guard_can_fail(planted: Callable[..., Any]) -> None:
    """Centring the differences loses the planted direction on these very activations."""
    activations, truth = planted()
    differences = activations.positive - activations.negative
    centred = differences - differences.mean(dim=1, keepdim=True)
    component = torch.linalg.svd(centred, full_matrices=False).Vh[:, 0]
    assert cosine_similarity(component, truth, dim=-1).abs().max() < 0.3
