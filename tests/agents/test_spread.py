"""Spread of vectors through a population: shares, drift, selection, diversity, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.agents.spread import Spread, ring, spread
from selfsteer.errors import PopulationError

seeds = st.integers(0, 2**31)


def drift(users: int, vectors: int) -> np.ndarray:
    return np.zeros((users, vectors))


@given(
    seeds,
    st.integers(2, 12),
    st.integers(1, 6),
    st.floats(0, 50),
    st.floats(0, 1),
    st.booleans(),
)
def test_shares_add_up_and_diversity_keeps_its_bounds(
    seed: int, users: int, vectors: int, selection: float, innovation: float, near: bool
) -> None:
    gains = np.random.default_rng(seed).normal(size=(users, vectors))
    done = spread(
        gains,
        steps=5,
        selection=selection,
        innovation=innovation,
        contacts=ring(users, 1) if near and users > 2 else None,
        repetitions=3,
        seed=seed,
    )
    assert done.shares.shape == (3, 6, vectors)
    assert np.allclose(done.shares.sum(-1), 1)
    assert (done.entropy >= 0).all()
    assert (done.entropy <= np.log(min(users, vectors)) + 1e-12).all()
    assert (done.effective >= 1 - 1e-12).all()
    assert (done.effective <= min(users, vectors) + 1e-9).all()
    assert np.allclose(done.gain[:, -1], gains[np.arange(users), done.adopted].mean(1))


@given(seeds)
def test_the_same_seed_gives_the_same_history(seed: int) -> None:
    gains = np.random.default_rng(seed).normal(size=(8, 3))
    first, second = (spread(gains, steps=4, innovation=0.1, seed=seed) for _ in range(2))
    assert (first.shares == second.shares).all()


@pytest.mark.parametrize("contacts", [None, ring(20, 2)], ids=["well-mixed", "ring"])
def test_drift_keeps_the_expected_share(contacts: Any) -> None:
    start = [0] * 5 + [1] * 15
    done = spread(drift(20, 2), steps=15, contacts=contacts, start=start, repetitions=4000, seed=1)
    for step in (1, 5, 15):
        values = done.shares[:, step, 0]
        error = values.std() / np.sqrt(len(values))
        assert abs(values.mean() - 0.25) < 4 * error
    # and it is no standstill: the repetitions have gone different ways
    assert done.shares[:, -1, 0].std() > 0.1


def test_drift_fixes_a_vector_as_often_as_its_share() -> None:
    start = [0] * 2 + [1] * 6
    done = spread(drift(8, 2), steps=300, start=start, repetitions=2000, seed=2)
    assert (done.fixed >= 0).all()
    assert abs((done.fixed == 0).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 2000)


def test_no_selection_is_drift_whatever_is_gained() -> None:
    gains = np.random.default_rng(0).normal(size=(10, 3))
    blind = spread(gains, steps=6, selection=0, repetitions=5, seed=3)
    assert (blind.shares == spread(drift(10, 3), steps=6, repetitions=5, seed=3).shares).all()


@given(seeds)
def test_a_vector_that_is_better_for_all_takes_over(seed: int) -> None:
    gains = np.random.default_rng(seed).normal(size=(12, 3)) * 0.1
    gains[:, 1] = gains.max(1) + 1
    start = [1] * 3 + [0, 2] * 4 + [0]
    done = spread(gains, steps=200, selection=50, start=start, seed=seed)
    assert done.fixed.tolist() == [1]
    assert (done.shares[0, done.fixed_at[0] :, 1] == 1).all()
    assert (np.diff(done.shares[0, :, 1]) >= 0).all()  # under such selection nobody gives it up


def test_users_who_differ_keep_different_vectors() -> None:
    gains = np.where(np.arange(20)[:, None] % 2 == np.arange(2), 1.0, -1.0)
    done = spread(gains, steps=200, selection=50, seed=4)
    assert (done.adopted[0] == np.arange(20) % 2).all()
    assert done.effective[0, -1] == pytest.approx(2)
    assert done.fixed.tolist() == done.fixed_at.tolist() == [-1]


def test_innovation_brings_back_what_was_lost() -> None:
    still = spread(drift(10, 4), steps=30, start=[2] * 10, seed=5)
    assert (still.adopted == 2).all()
    assert still.fixed_at.tolist() == [0]
    lively = spread(drift(10, 4), steps=30, start=[2] * 10, innovation=0.2, seed=5)
    assert lively.effective[0].max() > 2
    # all users innovate: the shares are those of dice, whatever the gains say
    dice = spread(np.eye(10, 2), steps=1, innovation=1.0, repetitions=4000, seed=6)
    assert abs(dice.shares[:, 1, 0].mean() - 0.5) < 0.02


def test_on_a_ring_news_travels_one_neighbourhood_a_step() -> None:
    gains = np.tile([0.0, 1.0], (21, 1))
    start = [0] * 10 + [1] + [0] * 10
    done = spread(gains, steps=4, selection=1e6, contacts=ring(21, 1), start=start, seed=7)
    counts = done.shares[0, :, 1] * 21
    assert (counts <= 1 + 2 * np.arange(5) + 1e-9).all()
    assert counts[-1] > 1


def test_entropy_and_its_exponential() -> None:
    shares = np.array([[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]])
    seen = Spread(shares, np.zeros((1, 2)), np.zeros((1, 2), dtype=np.int64), 1.0, 0.0)
    assert seen.entropy[0].tolist() == pytest.approx([np.log(2), 0])
    assert seen.effective[0].tolist() == pytest.approx([2, 1])
    assert (seen.fixed_at.tolist(), seen.fixed.tolist()) == ([1], [0])


@pytest.mark.parametrize(
    "mistake",
    [
        {"gains": [[1.0, 2.0]]},
        {"gains": [1.0, 2.0]},
        {"gains": [[1.0], [float("nan")]]},
        {"steps": 0},
        {"selection": -1.0},
        {"innovation": 1.5},
        {"repetitions": 0},
        {"contacts": np.ones((3, 3), dtype=bool)},
        {"contacts": np.zeros((3, 3), dtype=bool)},
        {"contacts": ~np.eye(4, dtype=bool)},
        {"start": [0, 1]},
        {"start": [0, 1, 2]},
        {"start": [0.0, 1.0, 1.0]},
    ],
)
def test_what_makes_no_sense_is_refused(mistake: dict[str, Any]) -> None:
    asked = {"gains": [[1.0, 0.0]] * 3, "steps": 2, **mistake}
    with pytest.raises(PopulationError):
        spread(asked.pop("gains"), **asked)


@pytest.mark.parametrize("near", [0, 3])
def test_a_ring_that_cannot_be_is_refused(near: int) -> None:
    with pytest.raises(PopulationError):
        ring(5, near)
