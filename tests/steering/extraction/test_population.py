"""Probes and discriminants against what they estimate, under noise that is not equal all ways."""

from __future__ import annotations

import pytest
from torch import Tensor
from torch.nn.functional import cosine_similarity

from selfsteer.steering.extraction.registry import extract
from tests.steering.extraction.populations import NORMAL, SHIFT_OF_A_POPULATION, population

POPULATION = population()


def test_the_two_targets_are_far_apart() -> None:
    assert cosine_similarity(POPULATION.normal, POPULATION.shift, dim=0) < 0.8


# A sampling error of about sqrt(D / texts) = 0.014 of the length, or of its square in the cosine,
# times the spread of the deviations (4): 0.997 leaves a factor of three.
@pytest.mark.parametrize("method", NORMAL + SHIFT_OF_A_POPULATION)
def test_each_finds_what_it_estimates(method: str) -> None:
    assert POPULATION.cosine(method) > 0.997


@pytest.mark.parametrize("method", NORMAL)
def test_a_normal_is_as_long_as_the_means_are_apart_along_it(method: str) -> None:
    normal = POPULATION.normal
    distance = POPULATION.shift @ normal / normal.norm()
    found = extract(method, POPULATION.sample)[0].double()
    assert found.norm() == pytest.approx(float(distance), rel=0.05)


def test_a_normal_is_a_better_detector_than_the_shift() -> None:
    """Which is why it exists: the means are further apart in deviations of the score."""

    def separation(direction: Tensor) -> float:
        spread = direction @ POPULATION.covariance @ direction
        return float((direction @ POPULATION.shift) / spread.sqrt())

    best = separation(POPULATION.normal)
    found = {
        method: separation(extract(method, POPULATION.sample)[0].double())
        for method in ("lda", "mean_difference")
    }
    assert found["lda"] > 0.99 * best
    assert found["mean_difference"] < 0.8 * best
