"""The distillation curve of `make bench-loop`, on directions whose number is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmarks.loop.distillation import (
    described,
    direction,
    distil,
    distinct_in,
    fitted,
    growth,
    plot,
)
from selfsteer.steering.metrics.plateau import Plateau
from selfsteer.steering.model import Student
from tests.agents.steerables import build_vector

shapes = st.tuples(st.integers(1, 6), st.integers(1, 6))
matrices = hnp.arrays("float64", shapes, elements=st.floats(-9, 9))


def goals_of(kinds: int, count: int, noise: float = 0.02, width: int = 400) -> np.ndarray:
    """Unit rows for goals, each of which is one of a few kinds, give or take a little."""
    rng = np.random.default_rng(3)
    rows = np.eye(kinds, width)[np.arange(count) % kinds]
    rows = rows + noise * rng.standard_normal((count, width)) / width**0.5
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_what_differs_is_counted() -> None:
    assert distinct_in(np.eye(7, 20)) == pytest.approx(7)
    assert distinct_in(np.ones((5, 20))) == pytest.approx(1)
    assert distinct_in(np.vstack([np.eye(3), np.eye(3)])) == pytest.approx(3)
    assert 1 < distinct_in(np.array([[1.0, 0.0], [0.9, 0.1]])) < 2


@given(matrices.filter(lambda rows: np.abs(rows).max() > 0.1), st.floats(0.1, 9))
def test_it_stays_the_same_when_all_is_turned_or_scaled(rows: np.ndarray, factor: float) -> None:
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((rows.shape[1],) * 2))[0]
    rank = distinct_in(rows)
    assert distinct_in(factor * rows @ turn) == pytest.approx(rank, rel=1e-6)
    assert 1 - 1e-9 <= rank <= min(rows.shape) + 1e-9


def test_a_curve_begins_at_one_and_ends_with_all() -> None:
    rows = goals_of(4, 12)
    found = growth(rows, np.random.default_rng(0))
    assert found[0] == pytest.approx(1)
    assert found[-1] == pytest.approx(distinct_in(rows), rel=1e-6)
    assert (np.diff(found) > 0).all()


@settings(deadline=None)
@given(st.floats(1.5, 30), st.floats(0.5, 60))
def test_the_fit_finds_the_curve_that_made_the_values(plateau: float, scale: float) -> None:
    curve = Plateau(plateau, scale, 0.0)
    fit = fitted(np.array([curve.at(n) for n in range(1, 25)]))
    assert fit.height == pytest.approx(plateau, rel=0.02)
    assert fit.scale == pytest.approx(scale, rel=0.02)


def test_goals_of_a_few_kinds_flatten_at_their_number() -> None:
    found = distil(goals_of(4, 24))
    assert found.flattens
    assert found.plateau.low <= found.fit.height <= found.plateau.high + 0.1
    assert found.fit.height == pytest.approx(4, rel=0.15)
    assert "it flattens" in described(found)


def test_goals_that_have_nothing_in_common_do_not() -> None:
    found = distil(np.eye(24, 400))
    assert not found.flattens
    assert found.distinct[-1] == pytest.approx(24)
    assert found.reached[0] < 0.2
    assert "does not flatten" in described(found)


def test_few_goals_make_no_curve() -> None:
    with pytest.raises(ValueError, match="3 goals or more"):
        distil(np.eye(2, 9))


def test_every_layer_and_vector_of_a_goal_counts_the_same(talker: Student) -> None:
    vector = build_vector(talker)
    one = direction([vector])
    assert np.linalg.norm(one) == pytest.approx(1)
    np.testing.assert_allclose(direction([vector, 5.0 * vector]), one, atol=1e-6)


def test_it_is_drawn(tmp_path: Path) -> None:
    plot(distil(goals_of(3, 9)), tmp_path / "new" / "curve.svg")
    assert "<svg" in (tmp_path / "new" / "curve.svg").read_text()
