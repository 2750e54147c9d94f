"""Curves that flatten, and those that do not."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.steering.metrics.plateau import fit_plateau, size_that_keeps

X = [1, 2, 3, 5, 8, 12, 20]


@given(st.floats(0.1, 10.0), st.floats(1.0, 10.0))
def test_a_saturating_curve_is_found_again(height: float, scale: float) -> None:
    found = fit_plateau(X, [height * (1 - math.exp(-x / scale)) for x in X])
    assert found.height == pytest.approx(height, rel=0.03)
    assert found.scale == pytest.approx(scale, rel=0.05)
    assert found.at(X[-1]) == pytest.approx(height * (1 - math.exp(-X[-1] / scale)), rel=0.01)


def test_a_line_does_not_flatten_within_reach() -> None:
    assert fit_plateau(X, list(map(float, X))).scale > 10 * X[-1]


@pytest.mark.parametrize(("x", "y"), [([1], [1]), ([0, 1], [0, 1]), ([1, 2], [1])])
def test_too_few_points_are_refused(x: list[float], y: list[float]) -> None:
    with pytest.raises(ValueError, match="two points"):
        fit_plateau(x, y)


def test_the_smallest_size_that_keeps_enough() -> None:
    means = torch.tensor([0.5, 0.9, 0.96, 1.0])
    gains = means[:, None].expand(4, 50)
    keeps, (low, high) = size_that_keeps([1, 2, 4, 8], gains, 0.95)
    assert (keeps, low, high) == (4, 4, 4)


def test_units_that_differ_widen_the_interval() -> None:
    source = torch.Generator().manual_seed(0)
    gains = torch.tensor([0.5, 0.94, 0.96, 1.0])[:, None] + torch.randn(4, 20, generator=source)
    _, (low, high) = size_that_keeps([1, 2, 4, 8], gains, 0.95)
    assert low < high


def test_where_nothing_is_gained_nothing_less_keeps_it() -> None:
    gains = torch.tensor([-0.1, -0.2, -0.3])[:, None].expand(3, 10)
    keeps, (low, high) = size_that_keeps([1, 2, 4], gains, 0.95)
    assert (keeps, low, high) == (4, 4, 4)
