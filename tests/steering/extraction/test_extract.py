"""From a dataset to a vector."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from selfsteer.errors import SelectorError, VectorError
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.extraction import registry
from selfsteer.steering.extraction.activations import capture_pairs
from selfsteer.steering.extraction.design import Design
from selfsteer.steering.extraction.extract import extract_vector
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.vectors import SteeringVector


def dataset(*replies: tuple[str, str]) -> ContrastiveDataset:
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


REPLIES = dataset(("so glad", "so sad"), ("wonderful", "dire"), ("good day", "bad day"))


def test_carries_directions_norms_and_provenance(llama: Student) -> None:
    vector = extract_vector(llama, REPLIES)
    activations = capture_pairs(llama, REPLIES)
    assert vector.layers == tuple(range(llama.n_layers))
    for place, layer in enumerate(vector.layers):
        mean = (activations.positive[place] - activations.negative[place]).mean(dim=0)
        torch.testing.assert_close(vector.directions[layer], mean)
        assert vector.residual_norms[layer] == pytest.approx(
            float(activations.residual_norms[place])
        )
    assert vector.method == "mean_difference"
    assert vector.selector == "response"
    assert vector.concept == "glad"
    assert vector.dataset_id == REPLIES.id
    assert vector.student_fingerprint == llama.fingerprint
    assert vector.notes == {"reduce": "mean", "pairs": 3}
    vector.check_student(llama)
    assert SteeringVector.from_bytes(vector.to_bytes()) == vector


def test_methods_share_activations(llama: Student) -> None:
    activations = capture_pairs(llama, REPLIES, layers=[-1, 1])
    shared = extract_vector(llama, REPLIES, method="pca", activations=activations)
    alone = extract_vector(llama, REPLIES, method="pca", layers=[-1, 1])
    assert shared == alone
    assert shared.layers == (-1, 1)


@pytest.mark.parametrize("method", sorted({*registry._METHODS} - {"logistic", "ridge", "lda"}))
def test_every_method_makes_a_usable_vector(method: str, llama: Student) -> None:
    """Those that are not here estimate a normal, which may lie across what differs."""
    vector = extract_vector(llama, REPLIES, method=method)
    shift = extract_vector(llama, REPLIES)
    vector.check_student(llama)
    for layer in vector.layers:
        assert float(vector.unit(layer) @ shift.unit(layer)) > 0.5


def test_a_design_is_part_of_the_provenance(llama: Student) -> None:
    activations = capture_pairs(llama, REPLIES, layers=[1])
    orders = [tuple("ababab"), tuple("aabbba")]
    plain, one, other = (
        extract_vector(llama, REPLIES, method="factorial", activations=activations, design=design)
        for design in (None, *(Design({"order": order}) for order in orders))
    )
    assert plain.notes == {"reduce": "mean", "pairs": 3}
    assert one.notes["design"] == {"attributes": {"order": list("ababab")}, "items": [""] * 6}
    assert len({plain, one, other}) == 3
    shift = extract_vector(llama, REPLIES, activations=activations)
    torch.testing.assert_close(plain.directions[1], shift.directions[1])


def test_two_sides_that_are_alike_give_no_vector(llama: Student) -> None:
    with pytest.raises(VectorError, match="same activations"):
        extract_vector(llama, dataset(("same", "same")))


@pytest.mark.parametrize("method", ["mean_difference", "pca", "lda", "logistic", "ridge_shift"])
def test_rounding_between_the_sides_gives_no_vector(llama: Student, method: str) -> None:
    """Some processors give equal rows other last digits, which a method may enlarge."""
    given = dataset(("same", "same"), ("equal", "equal"), ("again", "again"))
    found = capture_pairs(llama, given)
    rounded = replace(found, negative=found.negative * (1 + 4e-7))
    with pytest.raises(VectorError, match="same activations"):
        extract_vector(llama, given, method=method, activations=rounded)


def test_a_reply_is_needed_for_the_response(llama: Student) -> None:
    bare = ContrastiveDataset.from_jsonl('{"positive": "glad", "negative": "sad"}', concept="glad")
    with pytest.raises(SelectorError):
        extract_vector(llama, bare)
    assert extract_vector(llama, bare, selector="prompt[-1]").d_model == llama.d_model
