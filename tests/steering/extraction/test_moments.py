"""Extraction from running moments: the same directions as from activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from selfsteer.errors import DatasetError, VectorError
from selfsteer.steering.capture import Moments, Reduce
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.extraction.activations import ContrastiveActivations, capture_pairs
from selfsteer.steering.extraction.design import Design
from selfsteer.steering.extraction.extract import extract_vector
from selfsteer.steering.extraction.moments import ContrastiveMoments, capture_pair_moments
from selfsteer.steering.extraction.registry import extract
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt

DATASET = ContrastiveDataset(
    concept="glad",
    pairs=tuple(
        ContrastivePair(
            positive=Example(prompt=Prompt.chat("How are you?"), completion=glad),
            negative=Example(prompt=Prompt.chat("How are you?"), completion=sad),
        )
        for glad, sad in [("so glad", "so sad and low"), ("wonderful", "dire"), ("fine", "bad")]
    ),
)


def of(values: Tensor) -> Moments:
    """The moments of ``[L, N, D]``, one token a text."""
    n = values.shape[1]
    second = values.double().mT @ values.double() / n
    norm = values.norm(dim=-1).mean(dim=1)
    return Moments(tuple(range(len(values))), n, values.mean(dim=1), second.float(), norm)


def both(activations: ContrastiveActivations) -> ContrastiveMoments:
    return ContrastiveMoments(of(activations.positive), of(activations.negative))


@pytest.mark.parametrize(("pairs", "width"), [(6, 20), (40, 6)], ids=["wide", "tall"])
@pytest.mark.parametrize("method", ["mean_difference", "lda"])
def test_gives_what_activations_give(
    method: str, pairs: int, width: int, planted: Callable[..., Any]
) -> None:
    activations, _ = planted(noise=1.0, pairs=pairs, width=width)
    found = extract(method, both(activations))
    expected = extract(method, activations)
    # Moments are rounded to float32; values are about 6 and the smallest variances are shrunk
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert cosine_similarity(found, expected, dim=-1).min() > 1 - 1e-6


def test_one_token_a_text_is_the_same_vector(llama: Student) -> None:
    found = extract_vector(llama, DATASET, selector="response[0]", layers=[-1, 1], reduce=None)
    alone = extract_vector(llama, DATASET, selector="response[0]", layers=[-1, 1])
    for layer in (-1, 1):
        torch.testing.assert_close(found.directions[layer], alone.directions[layer])
        assert found.residual_norms[layer] == pytest.approx(alone.residual_norms[layer], rel=1e-5)
    assert found.notes == {"tokens": 6}
    assert found.dataset_id == alone.dataset_id


@pytest.mark.parametrize("reduce", ["mean", "last"])
def test_the_default_vector_keeps_nothing_of_a_text(llama: Student, reduce: Reduce) -> None:
    """And is the one that activations of each text give."""
    found = extract_vector(llama, DATASET, layers=[-1, 1], reduce=reduce)
    activations = capture_pairs(llama, DATASET, layers=[-1, 1], reduce=reduce)
    expected = extract_vector(llama, DATASET, activations=activations, reduce=reduce)
    for layer in (-1, 1):
        torch.testing.assert_close(found.directions[layer], expected.directions[layer])
        assert found.residual_norms[layer] == pytest.approx(expected.residual_norms[layer])
    assert found.notes == expected.notes == {"reduce": reduce, "pairs": 3}


def test_a_token_is_not_a_text(llama: Student) -> None:
    by_token = extract_vector(llama, DATASET, method="lda", layers=[1], reduce=None)
    by_text = extract_vector(llama, DATASET, method="lda", layers=[1])
    cosine = cosine_similarity(by_token.directions[1], by_text.directions[1], dim=0)
    assert cosine < 1 - 1e-3
    with pytest.raises(VectorError, match="'pca' needs activations of each text"):
        extract_vector(llama, DATASET, method="pca", reduce=None)


def test_second_moments_are_read_when_they_are_asked_for(llama: Student) -> None:
    moments = capture_pair_moments(llama, DATASET, layers=[1], second=True)
    vector = extract_vector(llama, DATASET, method="lda", activations=moments, reduce=None)
    shift = extract_vector(llama, DATASET, activations=moments, reduce=None)
    cosine = cosine_similarity(vector.directions[1], shift.directions[1], dim=0)
    assert 0 < cosine < 1 - 1e-3
    with pytest.raises(VectorError, match="second=True"):
        extract("lda", capture_pair_moments(llama, DATASET, layers=[1]))


def test_bad_input(planted: Callable[..., Any]) -> None:
    moments = both(planted(pairs=4, width=8)[0])
    with pytest.raises(VectorError, match=r"'pca' needs activations of each text; .*mean_diff"):
        extract("pca", moments)
    with pytest.raises(VectorError, match="without a design"):
        extract("mean_difference", moments, Design({"order": ("a", "b")}))
    with pytest.raises(VectorError, match="Unknown extraction method"):
        extract("magic", moments)
    with pytest.raises(DatasetError, match=r"layers \[0, 1\] and \[0, 2\]"):
        ContrastiveMoments(moments.positive, replace(moments.negative, layers=(0, 2)))
    with pytest.raises(DatasetError, match="NaN"):
        ContrastiveMoments(moments.positive, replace(moments.negative, norm=torch.ones(2) / 0))


def test_spread_that_is_lost_in_rounding_is_an_error() -> None:
    """A mean of 10,000 and a deviation of 0.001: the square of the mean is rounded to 8."""
    generator = torch.Generator().manual_seed(0)
    values = 1e4 * (1 + torch.randn(1, 1, 8, generator=generator)) + 1e-3 * torch.randn(
        1, 500, 8, generator=generator
    )
    with pytest.raises(VectorError, match="not positive"):
        extract("lda", ContrastiveMoments(of(values), of(values + 0.01)))
