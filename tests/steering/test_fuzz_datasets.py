"""Thousands of damaged datasets: each is read and usable, or refused with our error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfsteer.errors import DatasetError
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.encoding import encode
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from tests.steering.formats.makers import mutations

LONGEST_MESSAGE = 600  # characters
PAIR = ContrastivePair(
    positive=Example(
        prompt=Prompt.chat("How are you?", system="Be glad."), completion="Fine \u2713"
    ),
    negative=Example(prompt=Prompt.raw("No."), completion=" More."),
)
ITEM = {
    "question": "Is it so?\n (A) Yes\n (B) No",
    "answer_matching_behavior": "(A)",
    "answer_not_matching_behavior": "(B)",
}
TEXTS = {"positive": 'a "good" day', "negative": "a bad day"}
FILES = {
    "own": ContrastiveDataset(concept="glad", pairs=(PAIR, PAIR)).to_jsonl(),
    "lines": f"{json.dumps(TEXTS)}\n{json.dumps(TEXTS)}\n",
    "list": json.dumps([ITEM, ITEM]),
}


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files_are_read_or_refused(kind: str, llama: Student, tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    concept = None if kind == "own" else "glad"
    refused = 0
    for damaged in mutations(FILES[kind].encode(), 1500):
        path.unlink(missing_ok=True)
        path.write_bytes(damaged)
        try:
            dataset = ContrastiveDataset.load(path, concept=concept)
        except DatasetError as error:
            assert len(str(error)) < LONGEST_MESSAGE + len(str(path))
            refused += 1
        else:
            assert dataset == ContrastiveDataset.from_jsonl(dataset.to_jsonl())
            for example in (*dataset.positives, *dataset.negatives):
                assert encode(llama, example).ids
    assert refused > 300


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10**5,
        '{"positive": ' * 10**4,
        "[[]]",
        "[null]",
        "[1e999]",
        '{"selfsteer_dataset": 1}',
        '{"selfsteer_dataset": true, "concept": "c"}',
        '{"selfsteer_dataset": 1, "concept": ["c"]}\n{}',
        '{"question": [], "answer_matching_behavior": {}, "answer_not_matching_behavior": 0}',
        '{"positive": "a", "negative": 1}',
        '{"positive": {"prompt": {"messages": [{"role": "tool", "content": "x"}]}}}',
        "9" * 5000,
    ],
)
def test_hostile_files_are_refused(text: Any) -> None:
    with pytest.raises(DatasetError) as caught:
        ContrastiveDataset.from_jsonl(text)
    assert len(str(caught.value)) < LONGEST_MESSAGE
