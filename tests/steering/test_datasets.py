"""Contrastive datasets: the formats that are read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfsteer.errors import DatasetError
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.prompts import Example, Prompt

texts = st.text(st.characters(exclude_categories=["Cs"]))
prompts = st.builds(Prompt.raw, texts) | st.builds(
    lambda user, system: Prompt.chat(user, system=system), texts, st.none() | texts
)
examples = st.builds(Example, prompt=prompts, completion=texts)
pairs = st.builds(ContrastivePair, positive=examples, negative=examples)
datasets = st.builds(
    ContrastiveDataset, concept=texts, pairs=st.lists(pairs, min_size=1, max_size=3).map(tuple)
)


@settings(deadline=None)
@given(datasets)
def test_jsonl_round_trip(dataset: ContrastiveDataset) -> None:
    again = ContrastiveDataset.from_jsonl(dataset.to_jsonl())
    assert again == dataset
    assert again.id == dataset.id


def test_id_depends_on_concept_pairs_and_order() -> None:
    a, b = (
        ContrastivePair(
            positive=Example(prompt=Prompt.raw(f"{i} yes")),
            negative=Example(prompt=Prompt.raw(f"{i} no")),
        )
        for i in range(2)
    )
    ids = {
        ContrastiveDataset(concept=concept, pairs=chosen).id
        for concept, chosen in [("x", (a, b)), ("y", (a, b)), ("x", (b, a)), ("x", (a,))]
    }
    assert len(ids) == 4


def test_raw_text_rows() -> None:
    dataset = ContrastiveDataset.from_jsonl(
        '{"positive": "I am glad", "negative": "I am sad"}\n\n', concept="glad"
    )
    assert dataset.positives == [Example(prompt=Prompt.raw("I am glad"))]
    assert dataset.negatives == [Example(prompt=Prompt.raw("I am sad"))]


def test_caa_rows_as_a_json_list(tmp_path: Path) -> None:
    row = {
        "question": "Agree?\n (A) Yes\n (B) No",
        "answer_matching_behavior": "(A)",
        "answer_not_matching_behavior": "(B)",
    }
    path = tmp_path / "caa.json"
    path.write_text(json.dumps([row, row]))
    dataset = ContrastiveDataset.load(path, concept="sycophancy")
    assert len(dataset.pairs) == 2
    assert dataset.positives[0] == Example(prompt=Prompt.chat(row["question"]), completion="(A)")
    assert dataset.negatives[0].completion == "(B)"


def test_the_given_concept_overrides_the_header() -> None:
    text = '{"selfsteer_dataset": 1, "concept": "a"}\n{"positive": "x", "negative": "y"}'
    assert ContrastiveDataset.from_jsonl(text).concept == "a"
    assert ContrastiveDataset.from_jsonl(text, concept="b").concept == "b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no pairs"),
        ("[]", "no pairs"),
        ("not json", "Row 1 is not valid JSON"),
        ("[1]", "Row 1 of the dataset is not a JSON object"),
        ('{"positive": "x", "negative": "y"}\n{"positive": "x"}', "Pair 2 .*negative"),
        ('{"positive": "x", "negative": 3}', "Pair 1 .*negative"),
        ('{"text": "x"}', "Pair 1"),
        ('{"question": "q", "answer_matching_behavior": "(A)"}', "Pair 1 .*negative.completion"),
        ('{"selfsteer_dataset": 2, "concept": "x"}', "schema version 2"),
        ("[" * 100_000, "not valid JSON"),
        ('{"positive": "x", "negative": "\\ud800"}', "Pair 1 .*negative.*half of a surrogate pair"),
        (
            '{"question": "\\udfff", "answer_matching_behavior": "a", '
            '"answer_not_matching_behavior": "b"}',
            "Pair 1 .*content.*half of a surrogate pair",
        ),
        (
            '{"question": "q", "answer_matching_behavior": "\\ud83d", '
            '"answer_not_matching_behavior": "b"}',
            "Pair 1 .*positive.completion.*half of a surrogate pair",
        ),
    ],
)
def test_malformed_text_is_refused_with_the_row(text: str, message: str) -> None:
    concept = None if "selfsteer_dataset" in text else "x"
    with pytest.raises(DatasetError, match=message):
        ContrastiveDataset.from_jsonl(text, concept=concept)


def test_a_concept_is_needed() -> None:
    with pytest.raises(DatasetError, match="concept"):
        ContrastiveDataset.from_jsonl('{"positive": "x", "negative": "y"}')


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="Cannot read"):
        ContrastiveDataset.load(tmp_path / "nothing")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="UTF-8"):
        ContrastiveDataset.load(binary)
