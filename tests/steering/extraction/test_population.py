"""Probes and discriminants against what they estimate, under noise that is not the same all ways.

Two normal populations with means `m` and `m + shift` and one covariance C: the normal of the best
linear decision is ``C^-1 shift``, and what differs is ``shift``. The two are well apart here,
so that one cannot pass for the other.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.registry import extract

PAIRS, WIDTH = 20_000, 8


def population() -> tuple[ContrastiveActivations, Tensor, Tensor]:
    """A sample of 20,000 texts a side, the shift ``[D]`` and the covariance ``[D, D]``."""
    generator = torch.Generator().manual_seed(0)
    deviations = torch.logspace(0, 0.6, WIDTH, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64)).Q
    root = turn * deviations  # C = root root^T
    shift = turn @ torch.ones(WIDTH, dtype=torch.float64)

    def side() -> Tensor:
        normal = torch.randn(1, PAIRS, WIDTH, generator=generator, dtype=torch.float64)
        return 5 + normal @ root.T

    activations = ContrastiveActivations(
        (0,), (side() + shift).float(), side().float(), torch.ones(1)
    )
    return activations, shift, root @ root.T


ACTIVATIONS, SHIFT, COVARIANCE = population()
NORMAL = torch.linalg.solve(COVARIANCE, SHIFT)


def test_the_two_targets_are_far_apart() -> None:
    assert cosine_similarity(NORMAL, SHIFT, dim=0) < 0.8


# A sampling error of about sqrt(D / texts) = 0.014 of the length, or of its square in the cosine,
# times the spread of the deviations (4): 0.997 leaves a factor of three.
@pytest.mark.parametrize("method", ["lda", "logistic", "ridge"])
def test_normals_are_those_of_the_population(method: str) -> None:
    found = extract(method, ACTIVATIONS)[0].double()
    assert cosine_similarity(found, NORMAL, dim=0) > 0.997
    # As long as the two means are apart along it
    distance = SHIFT @ NORMAL / NORMAL.norm()
    assert found.norm() == pytest.approx(float(distance), rel=0.05)


@pytest.mark.parametrize("method", ["mean_difference", "logistic_shift", "ridge_shift"])
def test_shifts_are_those_of_the_population(method: str) -> None:
    found = extract(method, ACTIVATIONS)[0].double()
    assert cosine_similarity(found, SHIFT, dim=0) > 0.997


def test_a_normal_is_a_better_detector_than_the_shift() -> None:
    """Which is why it exists: the means are further apart in deviations of the score."""

    def separation(direction: Tensor) -> float:
        return float((direction @ SHIFT) / (direction @ COVARIANCE @ direction).sqrt())

    best = separation(NORMAL)
    assert separation(extract("lda", ACTIVATIONS)[0].double()) > 0.99 * best
    assert separation(extract("mean_difference", ACTIVATIONS)[0].double()) < 0.8 * best
