"""PCA of pairs: about their midpoints, of raw differences, of differences of length 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import cosine_similarity

from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.pca import pca, spherical_pca, uncentred_pca


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


@pytest.mark.parametrize(("pairs", "width"), [(8, 32), (32, 8)], ids=["wide", "tall"])
def test_uncentred_is_the_first_singular_vector_with_the_root_mean_square_length(
    pairs: int, width: int, planted: Callable[..., Any]
) -> None:
    activations, _ = planted(noise=0.5, pairs=pairs, width=width)
    differences = (activations.positive - activations.negative).double()
    _, values, vectors = torch.linalg.svd(differences, full_matrices=False)
    found = uncentred_pca(activations)
    assert cosine_similarity(found, vectors[:, 0], dim=-1).abs().min() > 1 - 1e-9
    torch.testing.assert_close(found.norm(dim=-1), values[:, 0] / pairs**0.5)
    assert ((found * differences.mean(dim=1)).sum(dim=-1) > 0).all()


def test_uncentred_has_the_direction_of_midpoints(planted: Callable[..., Any]) -> None:
    """As the module says; a root mean square is never shorter than a mean."""
    activations, _ = planted(noise=2.0, pairs=10, width=16)
    about_midpoints, about_origin = pca(activations), uncentred_pca(activations)
    assert cosine_similarity(about_midpoints, about_origin, dim=-1).min() > 1 - 1e-9
    assert (about_origin.norm(dim=-1) > about_midpoints.norm(dim=-1)).all()


def test_spherical_gives_each_pair_one_vote() -> None:
    """The far pair that turns the other components counts no more than any other here."""
    positive = torch.zeros(1, 10, 3)
    positive[0, :, 0] = 1.0
    positive[0, 0, 1] = 20.0
    activations = ContrastiveActivations((0,), positive, torch.zeros(1, 10, 3), torch.ones(1))
    first, second, _ = spherical_pca(activations)[0].tolist()
    assert first > 10 * second
    rows = torch.nn.functional.normalize(positive[0].double(), dim=-1)
    expected = torch.linalg.svd(rows).Vh[0]
    assert cosine_similarity(spherical_pca(activations)[0], expected, dim=-1).abs() > 1 - 1e-9


@pytest.mark.parametrize("method", [pca, uncentred_pca, spherical_pca])
def test_without_any_difference_it_is_zero(method: Callable[..., Any]) -> None:
    same = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
    assert not method(ContrastiveActivations((0, 1), same, same, torch.ones(2))).any()
