"""AUROC, exact under ties, against scikit-learn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from selfsteer.steering.metrics.auroc import auroc

scores = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)  # few values: many ties


@settings(deadline=None)
@given(scores, scores)
def test_equals_scikit_learn(positive: list[float], negative: list[float]) -> None:
    labels = [1] * len(positive) + [0] * len(negative)
    expected = roc_auc_score(labels, positive + negative)
    found = auroc(torch.tensor(positive), torch.tensor(negative))
    assert float(found) == pytest.approx(expected, abs=1e-12)


def test_known_values() -> None:
    assert auroc(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])) == 1
    assert auroc(torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0])) == 0
    assert auroc(torch.ones(3), torch.ones(5)) == 0.5
    assert auroc(torch.tensor([1.0, 2.0]), torch.tensor([1.0])) == 0.75


def test_layers_are_scored_on_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    positive = torch.randn(2, 3, 20, generator=generator)
    negative = torch.randn(2, 3, 15, generator=generator)
    both = auroc(positive, negative)
    assert both.shape == (2, 3)
    assert both[1, 2] == auroc(positive[1, 2], negative[1, 2])
