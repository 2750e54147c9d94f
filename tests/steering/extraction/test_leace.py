"""LEACE: after it no linear probe finds the concept, and nothing was moved more than needed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from selfsteer.errors import DatasetError
from selfsteer.steering.extraction.leace import leace
from tests.steering.extraction.populations import left_by_erasure

LABELS = [0, 0, 1, 1, 1, 2] * 50


def sample(n: int, width: int, layers: int = 2, seed: int = 0) -> tuple[Tensor, list[int]]:
    """Three classes of unequal size in noise whose deviations range from 1 to 30, off centre."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    labels = LABELS[:n]
    turn = torch.linalg.qr(normal(layers, width, width)).Q
    noise = normal(layers, n, width) * torch.logspace(0, 1.5, width) @ turn.mT
    return 20 + noise + 3 * normal(layers, 3, width)[:, labels], labels


def cross_covariance(values: Tensor, labels: list[int]) -> Tensor:
    """``[L, D, 3]`` with the one-hot labels."""
    one_hot = torch.nn.functional.one_hot(torch.tensor(labels)).double()
    centred = values - values.mean(dim=1, keepdim=True)
    return centred.mT @ (one_hot - one_hot.mean(dim=0)) / len(labels)


@pytest.mark.parametrize(("n", "width"), [(300, 12), (30, 50)], ids=["tall", "wide"])
def test_no_cross_covariance_is_left(n: int, width: int) -> None:
    """Then the best linear probe under any convex loss is a constant."""
    values, labels = sample(n, width)
    erased = leace(values, labels)(values)
    before = cross_covariance(values, labels).abs().max()
    after = cross_covariance(erased, labels).abs().max()
    assert before > 0.1
    assert after < 1e-10 * before
    one_hot = torch.nn.functional.one_hot(torch.tensor(labels)).double()
    if n > width:
        for layer in erased:
            design = torch.cat([layer, torch.ones(n, 1).double()], dim=1)
            probe = torch.linalg.lstsq(design, one_hot).solution
            share = one_hot.mean(dim=0).expand(n, 3)
            torch.testing.assert_close(design @ probe, share, atol=1e-8, rtol=0)


def test_float32_is_erased_to_its_rounding() -> None:
    values, labels = sample(300, 12)
    erased = leace(values.float(), labels)(values.float())
    assert erased.dtype == torch.float32
    # Rounding of single values of size 100 (1e-5), averaged over 50 texts or more
    assert cross_covariance(erased.double(), labels).abs().max() < 1e-5


def test_is_the_formula_of_the_paper() -> None:
    values, labels = sample(300, 8)
    eraser = leace(values, labels)
    for layer in range(2):
        centred = values[layer] - values[layer].mean(dim=0)
        spread, turn = torch.linalg.eigh(centred.T @ centred / 300)
        whiten = turn / spread.sqrt() @ turn.T
        back = turn * spread.sqrt() @ turn.T
        image, size, _ = torch.linalg.svd(whiten @ cross_covariance(values, labels)[layer])
        assert size[1] > 1e-3 > 1e-9 > size[2]
        projection = back @ image[:, :2] @ image[:, :2].T @ whiten
        torch.testing.assert_close(eraser.projection[layer], projection, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(("n", "width"), [(300, 12), (30, 50)], ids=["tall", "wide"])
def test_is_a_projection_of_rank_two_that_keeps_the_mean(n: int, width: int) -> None:
    values, labels = sample(n, width)
    eraser = leace(values, labels)
    assert eraser.left.shape == eraser.right.shape == (2, 2, width)
    eye = torch.eye(2).double().expand(2, 2, 2)
    torch.testing.assert_close(eraser.left @ eraser.left.mT, eye)
    torch.testing.assert_close(eraser.right @ eraser.left.mT, eye)
    erased = eraser(values)
    torch.testing.assert_close(eraser(erased), erased)
    torch.testing.assert_close(erased.mean(dim=1), values.mean(dim=1))


def test_moves_the_activations_less_than_any_other_erasure() -> None:
    """Against the orthogonal projection, and against oblique ones around the optimum."""
    values, labels = sample(300, 12)
    eraser = leace(values, labels)
    centred = values - values.mean(dim=1, keepdim=True)

    def moved(right: Tensor) -> Tensor:
        return ((centred @ right.mT) @ eraser.left).square().sum(dim=(1, 2))

    best = moved(eraser.right)
    assert (moved(eraser.left) > 1.2 * best).all()
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        other = torch.randn(2, 2, 12, generator=generator, dtype=torch.float64)
        # What is orthogonal to the class means can be added without undoing the erasure
        other -= (other @ eraser.left.mT) @ eraser.left
        assert (moved(eraser.right + 0.01 * other) > best).all()


def test_the_population_is_erased_by_a_sample() -> None:
    """Texts that the eraser has not seen: what is left of the concept is sampling error."""
    # Each of the two samples leaves an error of sqrt(4 / 20,000) = 0.014 deviations
    assert left_by_erasure() < 5 * 2**0.5 * 0.0142


def test_bad_input() -> None:
    values, labels = sample(60, 8)
    with pytest.raises(DatasetError, match="59 labels"):
        leace(values, labels[:59])
    with pytest.raises(DatasetError, match="of one class"):
        leace(values, [0] * 60)
    with pytest.raises(DatasetError, match="NaN"):
        leace(values / 0, labels)
    with pytest.raises(DatasetError, match="fewer than 2 directions"):
        leace(torch.ones_like(values), labels)
