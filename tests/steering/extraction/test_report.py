"""The report per layer: evidence, agreement of methods, stability."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from selfsteer.errors import DatasetError, VectorError
from selfsteer.steering.extraction.activations import ContrastiveActivations
from selfsteer.steering.extraction.evidence import layer_evidence
from selfsteer.steering.extraction.registry import extract
from selfsteer.steering.extraction.report import LayerReport, layer_report, stability

METHODS = ("mean_difference", "lda", "ridge_shift")


def test_holds_what_each_method_says_alone(planted: Callable[..., Any]) -> None:
    activations, _ = planted(noise=1.0, pairs=16, width=12)
    report = layer_report(activations, METHODS, folds=4, resamples=3, seed=5)
    assert [row.layer for row in report] == [0, 1]
    for number, name in enumerate(METHODS):
        alone = layer_evidence(activations, name, folds=4, seed=5)
        stable = stability(activations, name, resamples=3, seed=5)
        for place, row in enumerate(report):
            found = row.methods[number]
            assert found.method == name
            assert found.model_dump(exclude={"method", "stability"}) == alone[place].model_dump()
            assert found.stability == float(stable[place])


def test_cosines_are_those_of_the_directions(planted: Callable[..., Any]) -> None:
    activations, _ = planted(noise=1.0, pairs=16, width=12)
    for place, row in enumerate(layer_report(activations, METHODS, resamples=2)):
        for i, one in enumerate(METHODS):
            for j, other in enumerate(METHODS):
                directions = (extract(name, activations)[place] for name in (one, other))
                expected = float(cosine_similarity(*directions, dim=0))
                assert row.cosines[i][j] == pytest.approx(expected, abs=1e-6)
        assert row.cosines[0][1] < 0.999


def test_stability_is_the_mean_over_all_couples_of_samples(planted: Callable[..., Any]) -> None:
    activations, _ = planted(noise=2.0, pairs=8, width=12)
    generator = torch.Generator().manual_seed(3)
    units = []
    for _ in range(4):
        drawn = torch.randint(8, (8,), generator=generator)
        directions = (activations.positive - activations.negative)[:, drawn].mean(dim=1)
        units.append(normalize(directions.double(), dim=-1))
    couples = [(a * b).sum(dim=-1) for a, b in combinations(units, 2)]
    torch.testing.assert_close(
        stability(activations, "mean_difference", resamples=4, seed=3),
        torch.stack(couples).mean(dim=0),
    )


def test_a_direction_is_stable_and_noise_is_not() -> None:
    """In noise two samples share pairs, which alone gives a cosine of 1/2: the product of the
    counts of a pair has mean 1, its square mean 2."""
    generator = torch.Generator().manual_seed(0)
    positive = torch.randn(2, 64, 256, generator=generator)
    positive[1, :, 0] += 10
    report = layer_report(
        ContrastiveActivations((0, 1), positive, torch.zeros(2, 64, 256), torch.ones(2)),
        ["mean_difference"],
    )
    noise, direction = (row.methods[0].stability for row in report)
    assert noise == pytest.approx(0.5, abs=0.05)
    assert direction > 0.95


def test_a_layer_without_any_difference_stays_finite() -> None:
    positive = torch.zeros(1, 4, 3)
    (row,) = layer_report(
        ContrastiveActivations((0,), positive, positive, torch.ones(1)), ["mean_difference", "lda"]
    )
    assert [found.stability for found in row.methods] == [0.0, 0.0]
    assert row.cosines == ((0.0, 0.0), (0.0, 0.0))


def test_is_repeatable_and_can_be_stored(planted: Callable[..., Any]) -> None:
    activations, _ = planted(noise=1.0, pairs=8, width=12)
    report = layer_report(activations, resamples=2, seed=1)
    assert report == layer_report(activations, resamples=2, seed=1)
    assert report != layer_report(activations, resamples=2, seed=2)
    assert LayerReport.model_validate_json(report[0].model_dump_json()) == report[0]


def test_bad_requests(planted: Callable[..., Any]) -> None:
    activations, _ = planted(pairs=4, width=8)
    with pytest.raises(VectorError, match="needs the name"):
        layer_report(activations, [])
    with pytest.raises(VectorError, match="'magic'"):
        layer_report(activations, ["magic"])
    with pytest.raises(DatasetError, match="two resamples, not 1"):
        layer_report(activations, resamples=1)
    with pytest.raises(DatasetError, match="two pairs"):
        layer_report(planted(pairs=1)[0])
