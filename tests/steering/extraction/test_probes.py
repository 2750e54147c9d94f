"""Logistic and ridge probes: exact solutions, the two directions that each one gives, bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from selfsteer.errors import VectorError
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.labelled_rows import LabelledRows
from selfsteer.steering.extraction.logistic import logistic, logistic_shift, logistic_weights
from selfsteer.steering.extraction.ridge import ridge, ridge_shift, ridge_weights

SHAPES = pytest.mark.parametrize(
    ("pairs", "width"), [(6, 40), (40, 6), (5, 10)], ids=["wide", "tall", "square"]
)


def rows_of(planted: Callable[..., Any], pairs: int, width: int) -> LabelledRows:
    return LabelledRows.of(planted(noise=1.0, pairs=pairs, width=width)[0])


@SHAPES
def test_ridge_is_that_of_scikit_learn(pairs: int, width: int, planted: Callable[..., Any]) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rows = rows_of(planted, pairs, width)
    found = ridge_weights(rows)
    for layer, values in enumerate(rows.values):
        peer = linear_model.Ridge(alpha=1.0, solver="svd").fit(values.numpy(), rows.labels.numpy())
        torch.testing.assert_close(found[layer], torch.from_numpy(peer.coef_))


@SHAPES
def test_logistic_is_that_of_scikit_learn(
    pairs: int, width: int, planted: Callable[..., Any]
) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rows = rows_of(planted, pairs, width)
    found = logistic_weights(rows)
    for layer, values in enumerate(rows.values):
        peer = linear_model.LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10).fit(
            values.numpy(), rows.labels.numpy()
        )
        torch.testing.assert_close(
            found[layer], torch.from_numpy(peer.coef_[0]), atol=1e-6, rtol=1e-5
        )


@SHAPES
def test_logistic_is_at_the_minimum(pairs: int, width: int, planted: Callable[..., Any]) -> None:
    """Without a peer: the gradient of the loss is zero there, the intercept being the best one."""
    rows = rows_of(planted, pairs, width)
    for values, found in zip(rows.values, logistic_weights(rows), strict=True):
        weights = found.clone().requires_grad_()
        intercept = best_intercept(values @ found, rows.labels)
        margins = rows.labels * (values @ weights + intercept)
        loss = torch.nn.functional.softplus(-margins).sum() + weights.square().sum() / 2
        (gradient,) = torch.autograd.grad(loss, weights)
        assert gradient.abs().max() < 1e-7 * values.abs().sum(dim=0).max()


def best_intercept(scores: Tensor, labels: Tensor) -> Tensor:
    """By bisection on the derivative, which rises with the intercept."""
    low, high = torch.tensor([-100.0, 100.0], dtype=torch.float64)
    for _ in range(100):
        middle = (low + high) / 2
        derivative = -(labels * torch.sigmoid(-labels * (scores + middle))).sum()
        low, high = (low, middle) if derivative > 0 else (middle, high)
    return (low + high) / 2


@pytest.mark.parametrize(
    ("normal", "weights"), [(ridge, ridge_weights), (logistic, logistic_weights)]
)
def test_the_normal_has_the_length_of_the_mean_difference_along_it(
    normal: Callable[..., Any], weights: Callable[..., Any], planted: Callable[..., Any]
) -> None:
    activations, _ = planted(noise=1.0, pairs=20, width=12)
    found, probe = normal(activations), weights(LabelledRows.of(activations))
    assert cosine_similarity(found, probe, dim=-1).min() > 1 - 1e-9
    shift = activations.differences().mean(dim=1)
    along = (shift * probe).sum(dim=-1) / probe.norm(dim=-1)
    torch.testing.assert_close(found.norm(dim=-1), along)


@pytest.mark.parametrize(
    ("shift", "weights"), [(ridge_shift, ridge_weights), (logistic_shift, logistic_weights)]
)
def test_the_shift_is_the_regression_of_the_pairs_on_their_scores(
    shift: Callable[..., Any], weights: Callable[..., Any], planted: Callable[..., Any]
) -> None:
    activations, _ = planted(noise=1.0, pairs=20, width=12)
    found, probe = shift(activations), weights(LabelledRows.of(activations))
    for layer, differences in enumerate(activations.differences()):
        scores = differences @ probe[layer]
        slope = torch.linalg.lstsq(scores[:, None], differences).solution[0]
        torch.testing.assert_close(found[layer], slope * scores.mean())


@pytest.mark.parametrize("method", [ridge, ridge_shift, logistic, logistic_shift])
def test_what_pairs_share_moves_nothing(method: Callable[..., Any]) -> None:
    """A mean far from the origin, which a penalised intercept would feel."""
    generator = torch.Generator().manual_seed(0)
    positive = torch.randn(1, 10, 4, generator=generator)
    negative = torch.randn(1, 10, 4, generator=generator)
    near = ContrastiveActivations((0,), positive, negative, torch.ones(1))
    far = ContrastiveActivations((0,), positive + 512, negative + 512, torch.ones(1))
    # Adding 512 rounds activations to 2^-15, about 3e-5
    torch.testing.assert_close(method(far), method(near), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("method", [ridge, ridge_shift, logistic, logistic_shift])
@pytest.mark.parametrize("factor", [2.0**-40, 2.0**20], ids=["tiny", "large"])
def test_units_scale_the_result_and_nothing_else(
    method: Callable[..., Any], factor: float, planted: Callable[..., Any]
) -> None:
    activations, _ = planted(noise=1.0, pairs=6, width=10)
    scaled = ContrastiveActivations(
        activations.layers,
        activations.positive * factor,
        activations.negative * factor,
        activations.residual_norms,
    )
    torch.testing.assert_close(method(scaled) / factor, method(activations), atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize("method", [ridge, ridge_shift, logistic, logistic_shift])
def test_without_any_difference_it_is_zero(method: Callable[..., Any]) -> None:
    same = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
    assert not method(ContrastiveActivations((0, 1), same, same, torch.ones(2))).any()
    constant = torch.ones(1, 3, 2)
    assert not method(ContrastiveActivations((0,), constant, constant, torch.ones(1))).any()


def test_too_few_steps_are_an_error(planted: Callable[..., Any]) -> None:
    rows = rows_of(planted, 6, 10)
    with pytest.raises(VectorError, match="did not converge in 2 steps"):
        logistic_weights(rows, steps=2)
