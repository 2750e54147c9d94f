"""Wilson and bootstrap intervals."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfsteer.steering.metrics.intervals import bootstrap_mean, wilson


def test_wilson_known_values() -> None:
    """8 of 10 and 0 of 10, from the published formula worked by hand with z = 1.959964."""
    low, high = wilson(8, 10)
    assert (low, high) == (pytest.approx(0.49016, abs=1e-5), pytest.approx(0.94332, abs=1e-5))
    low, high = wilson(0, 10)
    assert (low, high) == (0.0, pytest.approx(0.27753, abs=1e-5))
    assert wilson(0, 0) == (0, 1)


@settings(deadline=None)
@given(st.integers(1, 10_000), st.data())
def test_wilson_holds_the_rate_and_mirrors(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    mirrored = wilson(n - k, n)
    assert (mirrored.low, mirrored.high) == (pytest.approx(1 - high), pytest.approx(1 - low))
    wider = wilson(k, n, confidence=0.99)
    assert wider.low <= low
    assert wider.high >= high


def test_bootstrap_is_that_of_the_normal_where_there_is_much_data() -> None:
    values = torch.randn(2000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    low, high = bootstrap_mean(values.tolist(), seed=0)
    half = 1.96 * float(values.std()) / 2000**0.5
    assert low == pytest.approx(float(values.mean()) - half, abs=0.1 * half)
    assert high == pytest.approx(float(values.mean()) + half, abs=0.1 * half)


def test_bootstrap_is_seeded() -> None:
    values = torch.rand(20, generator=torch.Generator().manual_seed(1)).tolist()
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_bootstrap_of_equal_values_and_of_none() -> None:
    assert bootstrap_mean([0.5] * 4) == (0.5, 0.5)
    with pytest.raises(ValueError, match="one value"):
        bootstrap_mean([])


def test_bootstrap_in_parts_has_all_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by drawing in parts; the interval stays what it is."""
    values = torch.rand(50, generator=torch.Generator().manual_seed(1)).tolist()
    whole = bootstrap_mean(values, seed=0)
    monkeypatch.setattr("selfsteer.steering.metrics.intervals._INDICES_AT_ONCE", 50 * 300)
    parts = bootstrap_mean(values, seed=0)
    assert parts == (pytest.approx(whole.low, abs=0.01), pytest.approx(whole.high, abs=0.01))
