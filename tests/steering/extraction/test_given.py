"""Activations that a caller captured before: what is recorded of them is what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfsteer.errors import DatasetError, SelectorError
from selfsteer.steering.capture import ReadAs, capture
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.extraction.activations import capture_pairs
from selfsteer.steering.extraction.design import Design
from selfsteer.steering.extraction.extract import extract_vector
from selfsteer.steering.extraction.extract_erasure import extract_erasure
from selfsteer.steering.extraction.extract_subspace import extract_subspace
from selfsteer.steering.extraction.factorial_vectors import factorial_vectors
from selfsteer.steering.extraction.moments import capture_pair_moments
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt


def replies(*words: str) -> list[Example]:
    return [Example(prompt=Prompt.chat("How are you?"), completion=word) for word in words]


GLAD = replies("so glad", "wonderful", "fine", "merry")
SAD = replies("so sad", "dire", "bad", "low")
PAIRS = [ContrastivePair(positive=p, negative=n) for p, n in zip(GLAD, SAD, strict=True)]
DATASET = ContrastiveDataset(concept="glad", pairs=tuple(PAIRS))
SMALLER = ContrastiveDataset(concept="glad", pairs=tuple(PAIRS[:3]))

Run = Callable[..., Any]
"""From a student, a dataset and keywords to what is made of the activations among them."""


def by_factorial(student: Student, dataset: ContrastiveDataset, **options: Any) -> Any:
    texts = dataset.positives + dataset.negatives
    design = Design({"mood": ["glad", "sad"] * (len(texts) // 2)})
    return factorial_vectors(student, texts, design, **options)


def activations_of(student: Student, dataset: ContrastiveDataset, **options: Any) -> Any:
    return capture(student, dataset.positives + dataset.negatives, **options)


def first(made: Any) -> Any:
    return next(iter(made.values())) if isinstance(made, dict) else made


WAYS: list[tuple[Run, Run]] = [
    (extract_vector, capture_pairs),
    (extract_vector, lambda *args, **kw: capture_pair_moments(*args, **{"reduce": "mean"} | kw)),
    (lambda *args, **kw: extract_subspace(*args, 2, **kw), capture_pairs),
    (extract_erasure, capture_pairs),
    (by_factorial, activations_of),
]
every_way = pytest.mark.parametrize(
    ("run", "read"), WAYS, ids=["vector", "moments", "subspace", "erasure", "factorial"]
)


@every_way
def test_what_fits_is_taken(run: Run, read: Run, llama: Student) -> None:
    given = read(llama, DATASET, layers=[2, 0], selector="response[0:2]")
    told = {"activations": given, "selector": "response[0:2]"}
    shared = run(llama, DATASET, **told)
    assert run(llama, DATASET, **told, layers=[0, 2]) == shared
    assert run(llama, DATASET, **told | {"selector": " response [0:2]"}) is not None
    found = first(shared)
    assert (found.selector, found.notes["reduce"]) == ("response[0:2]", "mean")


@every_way
def test_what_does_not_fit_is_refused(run: Run, read: Run, llama: Student) -> None:
    given = read(llama, DATASET, layers=[0, 2], selector="last", reduce="last")
    told = {"activations": given, "selector": "last", "reduce": "last"}
    with pytest.raises(DatasetError, match=r"of layers \[0, 2\], not of \[1\]; give"):
        run(llama, DATASET, **told, layers=[1])
    with pytest.raises(DatasetError, match=r"read at 'last', not at 'response'; say selector="):
        run(llama, DATASET, activations=given, reduce="last")
    with pytest.raises(DatasetError, match=r"reduce='last', not with reduce='mean'; say"):
        run(llama, DATASET, activations=given, selector="last")
    with pytest.raises(DatasetError, match=r"of 8 texts, not of the 6 that"):
        run(llama, SMALLER, **told)


@every_way
def test_of_what_was_made_by_hand_the_caller_tells(run: Run, read: Run, llama: Student) -> None:
    given = read(llama, DATASET)
    sides = {"positive", "negative"} if hasattr(given, "shift") else set()
    blank = {side: replace(getattr(given, side), read=None) for side in sides} or {"read": None}
    made = run(llama, DATASET, activations=replace(given, **blank), selector="user")
    assert first(made).selector == "user"
    with pytest.raises(SelectorError, match="Unknown reduce 'median'; it is mean or last"):
        run(llama, DATASET, activations=replace(given, **blank), reduce="median")


def test_a_token_is_not_a_text(llama: Student) -> None:
    """Of moments over tokens the number of texts cannot be told, of others it can."""
    tokens = capture_pair_moments(llama, DATASET)
    assert extract_vector(llama, DATASET, activations=tokens, reduce=None).notes == {
        "tokens": tokens.n
    }
    with pytest.raises(DatasetError, match=r"reduce=None, not with reduce='mean'"):
        extract_vector(llama, DATASET, activations=tokens)
    with pytest.raises(SelectorError, match="Unknown reduce None"):
        extract_vector(llama, DATASET, activations=capture_pairs(llama, DATASET), reduce=None)


def test_some_of_the_pairs_were_read_as_all_were(llama: Student) -> None:
    some = capture_pairs(llama, DATASET, reduce="last").select([0, 2])  # type: ignore[arg-type]
    assert some.read == ReadAs("response", "last")
