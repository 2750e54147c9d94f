"""Thresholds in one sorted pass, against every threshold there is."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.errors import PlanError
from selfsteer.steering.thresholds import Criterion, fit_threshold

# Few values, so that ties within and between the sides are common.
scores = st.lists(st.integers(-4, 4).map(lambda n: n / 4), min_size=1, max_size=12)


def quality(positive: list[float], negative: list[float], t: float, criterion: str) -> float:
    hits = sum(score > t for score in positive)
    alarms = sum(score > t for score in negative)
    if criterion == "f1":
        return 2 * hits / (2 * hits + alarms + len(positive) - hits)
    return hits / len(positive) - alarms / len(negative)


@given(scores, scores, st.sampled_from(["f1", "youden"]))
def test_no_threshold_is_better(
    positive: list[float], negative: list[float], criterion: Criterion
) -> None:
    found = fit_threshold(torch.tensor(positive), torch.tensor(negative), criterion)
    assert found.quality == pytest.approx(quality(positive, negative, found.value, criterion))
    for t in (-9.0, *positive, *negative):
        assert quality(positive, negative, t, criterion) <= found.quality + 1e-12


def test_it_lies_midway() -> None:
    found = fit_threshold(torch.tensor([0.75, 1.0]), torch.tensor([0.25, 0.0]))
    assert (found.value, found.quality) == (0.5, 1.0)


def test_neighbouring_floats_are_told_apart() -> None:
    low = torch.tensor([0.1])
    high = torch.nextafter(low, torch.tensor(1.0))
    found = fit_threshold(high, low)
    assert found.quality == 1.0
    assert (high > found.value).all()
    assert not (low > found.value).any()


def test_what_is_refused() -> None:
    some = torch.tensor([0.5])
    for sides in ((some[:0], some), (some, some[:0])):
        with pytest.raises(PlanError, match="scores on both sides"):
            fit_threshold(*sides)
    for bad in (math.nan, math.inf):
        with pytest.raises(PlanError, match="finite scores"):
            fit_threshold(some, torch.tensor([bad]))
    with pytest.raises(PlanError, match="Unknown criterion 'auc'"):
        fit_threshold(some, some, "auc")  # type: ignore[arg-type]
