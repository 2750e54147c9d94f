"""Schedules: how much of the strength is left at a generated token."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from selfsteer.errors import PlanError
from selfsteer.steering.schedules import Schedule


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("linear", [1, 0.75, 0.5, 0.25, 0, 0]),
        ("exponential", [1, 2**-0.25, 2**-0.5, 2**-0.75, 0.5, 2**-1.25]),
        ("first", [1, 1, 1, 1, 0, 0]),
    ],
)
def test_shapes(shape: str, expected: list[float]) -> None:
    shares = Schedule(shape, 4).shares(np.arange(6))
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares, expected, rtol=1e-6)


def test_description_is_json() -> None:
    schedule = Schedule("linear", 8)
    assert Schedule(**json.loads(json.dumps(schedule.describe()))) == schedule


@pytest.mark.parametrize("tokens", [0, -1, math.inf, math.nan])
def test_a_scale_is_positive(tokens: float) -> None:
    with pytest.raises(PlanError, match="give a positive number"):
        Schedule("first", tokens)


def test_unknown_shape() -> None:
    with pytest.raises(PlanError, match="Unknown schedule 'cosine'; it is one of linear"):
        Schedule("cosine", 4)
