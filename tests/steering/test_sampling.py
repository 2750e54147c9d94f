"""Random streams and the choice of tokens."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.steering import sampling
from selfsteer.steering.sampling import BROKEN, choose, uniforms


@given(st.integers(-(2**70), 2**70), st.lists(st.integers(0, 2**40), min_size=1, max_size=5))
def test_a_rows_stream_is_its_own(seed: int, rows: list[int]) -> None:
    together = uniforms(seed, np.array(rows), 7)
    for place, row in enumerate(rows):
        alone = uniforms(seed, np.array([row]), 9)
        assert (together[place] == alone[0, :7]).all()


def test_draws_are_uniform_and_uncorrelated() -> None:
    draws = uniforms(3, np.arange(400), 100).astype(np.float64)
    assert draws.min() >= 0
    assert draws.max() < 1
    counts, _ = np.histogram(draws, bins=20, range=(0, 1))
    assert (np.abs(counts - 2000) < 5 * np.sqrt(2000)).all()
    between_steps = np.corrcoef(draws.T)[~np.eye(100, dtype=bool)]
    between_rows = np.corrcoef(draws)[~np.eye(400, dtype=bool)]
    assert np.abs(between_steps).max() < 0.3
    assert np.abs(between_rows).max() < 0.6


def test_seeds_differ() -> None:
    rows = np.arange(50)
    assert not np.isin(uniforms(0, rows, 20), uniforms(1, rows, 20)).any()


def test_shares_follow_the_softmax_at_the_temperature() -> None:
    logits = torch.tensor([1.0, 0.0, -1.0, 2.0])
    draws = torch.from_numpy(uniforms(0, np.arange(20000), 1)[:, 0])
    for temperature in (0.5, 1.0, 2.0):
        tokens = choose(logits.expand(20000, 4), temperature, draws)
        shares = torch.bincount(tokens, minlength=4) / 20000
        expected = torch.softmax(logits / temperature, -1)
        torch.testing.assert_close(shares, expected, atol=0.02, rtol=0)


def test_temperature_0_takes_the_likeliest() -> None:
    logits = torch.randn(5, 9)
    assert torch.equal(choose(logits, 0.0, torch.rand(5)), logits.argmax(-1))


def test_impossible_tokens_are_never_chosen() -> None:
    logits = torch.tensor([float("-inf"), 0.0, 0.0, float("-inf")])
    draws = torch.tensor([0.0, 0.5, 1 - 2**-24, 1.0])
    assert set(choose(logits.expand(4, 4), 1.0, draws).tolist()) == {1, 2}


@pytest.mark.parametrize("temperature", [0.0, 1e-9, 1.0])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("at", range(4))
def test_broken_logits_are_told_from_sound_ones(temperature: float, value: float, at: int) -> None:
    logits = torch.tensor([[0.0, 1.0, -math.inf, 0.5]]).repeat(3, 1)
    logits[1, at] = value
    draws = torch.tensor([0.3, 0.3, 0.9])
    alone = choose(logits[[0, 2]], temperature, draws[[0, 2]]).tolist()
    assert choose(logits, temperature, draws).tolist() == [alone[0], BROKEN, alone[1]]
    assert BROKEN not in alone


@pytest.mark.parametrize("temperature", [1e-5, 1e-40, 1e-320])
def test_the_coldest_temperatures_take_the_likeliest(temperature: float) -> None:
    logits = torch.tensor([[3e4, 2.9e4, 0.0], [-5.0, 9.0, 8.99]])
    assert choose(logits, temperature, torch.tensor([0.9, 0.1])).tolist() == [0, 1]


@pytest.mark.parametrize("cached", [1, 20, 35, 1000])
def test_rows_are_drawn_alike_in_any_parts(monkeypatch: pytest.MonkeyPatch, cached: int) -> None:
    """One row at a time, some, with fewer in the last part, and all at once."""
    logits = torch.randn(7, 10, generator=torch.Generator().manual_seed(0))
    logits[4, 2] = math.nan
    draws = torch.from_numpy(uniforms(3, np.arange(7), 1))[:, 0]
    each = [int(choose(logits[i : i + 1], 0.7, draws[i : i + 1])) for i in range(7)]
    monkeypatch.setattr(sampling, "_CACHED", cached)
    assert choose(logits, 0.7, draws).tolist() == each
    assert each[4] == BROKEN
