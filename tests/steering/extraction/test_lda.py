"""The whitened mean difference, against its formula written out with a D x D covariance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.lda import lda, shrinkage


def written_out(positive: Tensor, negative: Tensor) -> Tensor:
    """``[N, D]`` twice -> ``[D]``, with numbers and loops."""
    width, degrees = positive.shape[1], 2 * len(positive) - 2
    covariance = torch.zeros(width, width, dtype=torch.float64)
    for side in (positive, negative):
        for row in side - side.mean(dim=0):
            covariance += torch.outer(row, row) / degrees
    trace, square = covariance.trace(), (covariance @ covariance).trace()
    above = (1 - 2 / width) * square + trace**2
    below = (degrees + 1 - 2 / width) * (square - trace**2 / width)
    rho = min(1.0, float(above / below))
    shrunk = (1 - rho) * covariance + rho * trace / width * torch.eye(width)
    return torch.linalg.solve(shrunk, positive.mean(dim=0) - negative.mean(dim=0))


@pytest.mark.parametrize(("pairs", "width"), [(6, 40), (40, 6), (3, 6)], ids=str)
def test_is_the_formula_in_both_shapes(pairs: int, width: int, planted: Callable[..., Any]) -> None:
    activations, _ = planted(noise=1.0, pairs=pairs, width=width)
    found = lda(activations)
    for layer in range(2):
        positive, negative = (
            side[layer].double() for side in (activations.positive, activations.negative)
        )
        expected = written_out(positive, negative)
        assert cosine_similarity(found[layer], expected, dim=0) > 1 - 1e-12
        # The length is the distance of the means along it
        distance = (positive.mean(dim=0) - negative.mean(dim=0)) @ expected / expected.norm()
        assert float(found[layer].norm()) == pytest.approx(float(distance), rel=1e-9)


def test_shrinkage_is_the_same_from_rows_and_from_columns() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(1, 10, 30, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(
        shrinkage(rows @ rows.mT / 9, 30, 9), shrinkage(rows.mT @ rows / 9, 30, 9)
    )


def test_shrinkage_goes_from_all_to_nothing_with_the_texts() -> None:
    """Towards none as texts come in, and all the way where the covariance is a multiple of I."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(1, 4000, 3, generator=generator, dtype=torch.float64)
    rows *= torch.tensor([1.0, 2.0, 4.0])
    few, many = (shrinkage(rows[:, :n].mT @ rows[:, :n] / n, 3, n).item() for n in (20, 4000))
    assert many < 0.002 < few < 1
    assert shrinkage(torch.eye(3, dtype=torch.float64)[None], 3, 20).item() == 1


def test_units_do_not_matter(planted: Callable[..., Any]) -> None:
    activations, _ = planted(pairs=8, width=32)
    tiny = ContrastiveActivations(
        activations.layers,
        activations.positive * 2.0**-60,
        activations.negative * 2.0**-60,
        activations.residual_norms,
    )
    torch.testing.assert_close(lda(tiny) * 2.0**60, lda(activations))


def test_without_spread_it_is_the_mean_difference() -> None:
    positive = torch.tensor([[[3.0, 4.0]] * 2])
    activations = ContrastiveActivations((0,), positive, torch.zeros(1, 2, 2), torch.ones(1))
    torch.testing.assert_close(lda(activations), torch.tensor([[3.0, 4.0]]).double())
    one_pair = activations.select(torch.tensor([0]))
    torch.testing.assert_close(lda(one_pair), torch.tensor([[3.0, 4.0]]).double())
