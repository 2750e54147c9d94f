"""Activations of a contrastive dataset."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from selfsteer.errors import DatasetError
from selfsteer.steering.capture import capture, capture_tokens
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.extraction.activations import ContrastiveActivations, capture_pairs
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt


def dataset() -> ContrastiveDataset:
    replies = [("so glad", "so sad and low"), ("wonderful", "dire"), ("good day to you", "bad")]
    prompt = Prompt.chat("How are you?")
    return ContrastiveDataset(
        concept="glad",
        pairs=tuple(
            ContrastivePair(
                positive=Example(prompt=prompt, completion=glad),
                negative=Example(prompt=prompt, completion=sad),
            )
            for glad, sad in replies
        ),
    )


def test_each_row_is_its_own_text(llama: Student) -> None:
    activations = capture_pairs(llama, dataset(), layers=[0, 2])
    assert activations.layers == (0, 2)
    assert activations.positive.shape == (2, 3, llama.d_model)
    for number, pair in enumerate(dataset().pairs):
        for side, example in (
            (activations.positive, pair.positive),
            (activations.negative, pair.negative),
        ):
            alone = capture(llama, [example], [0, 2]).values[:, 0]
            torch.testing.assert_close(side[:, number], alone, atol=1e-4, rtol=1e-4)


def test_residual_norms_are_those_of_single_tokens(llama: Student) -> None:
    """The mean over texts of the mean norm of their tokens, not the norm of a mean."""
    activations = capture_pairs(llama, dataset(), layers=[1])
    texts = dataset().positives + dataset().negatives
    tokens = capture_tokens(llama, texts, [1], "response")
    expected = torch.stack([text[0].norm(dim=-1).mean() for text in tokens]).mean()
    torch.testing.assert_close(activations.residual_norms[0], expected)
    assert activations.positive[0].norm(dim=-1).mean() < 0.99 * expected


def test_last_token(llama: Student) -> None:
    activations = capture_pairs(llama, dataset(), reduce="last", layers=[1])
    last = capture_tokens(llama, dataset().positives, [1], "response[-1]")
    torch.testing.assert_close(
        activations.positive[0], torch.stack([text[0, 0] for text in last]), atol=1e-4, rtol=1e-4
    )


def test_select_keeps_pairs_together() -> None:
    values = torch.arange(24.0).reshape(2, 4, 3)
    activations = ContrastiveActivations((0, 1), values, values + 100, torch.ones(2))
    some = activations.select(torch.tensor([3, 1]))
    assert some.n_pairs == 2
    assert torch.equal(some.negative - some.positive, torch.full((2, 2, 3), 100.0))
    assert torch.equal(some.positive[:, 0], values[:, 3])


GOOD = torch.ones(2, 3, 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"negative": torch.ones(2, 4, 4)}, r"\[2, 3, 4\] and \[2, 4, 4\]"),
        ({"layers": (0,)}, "1 layers are named"),
        ({"residual_norms": torch.ones(3)}, "residual norms"),
        ({"positive": GOOD[:, :0], "negative": GOOD[:, :0]}, "no pairs"),
        ({"positive": GOOD * float("nan")}, "positive activations hold NaN"),
        ({"residual_norms": torch.ones(2) / 0}, "residual_norms activations hold NaN"),
    ],
)
def test_malformed_activations_are_refused(fields: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "layers": (0, 1),
        "positive": GOOD,
        "negative": GOOD,
        "residual_norms": torch.ones(2),
    }
    with pytest.raises(DatasetError, match=message):
        ContrastiveActivations(**(good | fields))
