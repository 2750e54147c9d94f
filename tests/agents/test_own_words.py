"""A contrast in a student's own words: its shape, whatever the student, and what of it is used."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import torch
from torch import nn

from selfsteer.agents import own_words
from selfsteer.agents.own_words import LONGEST, Contrast, write_contrast
from selfsteer.agents.types import Goal, RoundSummary
from selfsteer.steering.generate import Generation
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt
from tests.agents.large import fenced
from tests.steering.students import build_student

GOAL = Goal(text="sound grumpy")
OTHER = ["Laugh."]
GOOD = [
    "Be cross.",
    "Grumble a lot.",
    "Complain about it.",
    "Mutter and moan.",
    "Be in a bad mood.",
]


@pytest.fixture(scope="module")
def writer() -> Student:
    """Random, with room for what it writes, and fond of quotes, so that its strings are short."""
    student = build_student(max_position_embeddings=8192)
    model: Any = student.model
    head = nn.Linear(student.d_model, model.config.vocab_size, bias=True)
    with torch.no_grad():
        head.weight.copy_(model.lm_head.weight)
        head.bias.zero_()
        head.bias[student.tokenizer.convert_tokens_to_ids('"')] = 4.0
    model.lm_head = head.requires_grad_(False)
    return Student.wrap(model, student.tokenizer, "writer")


class Said:
    """Stands in for the student that writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
        self.texts = list(texts)
        self.prompts: list[Prompt] = []
        self.seeds: list[int] = []
        monkeypatch.setattr(own_words, "generate", self.generate)

    def generate(self, _: Student, prompts: list[Prompt], *, seed: int, **__: Any) -> Any:
        self.prompts += prompts
        self.seeds.append(seed)
        return [Generation(self.texts.pop(0), [], True)]


def said(positive: list[str], negative: list[str]) -> str:
    return json.dumps({"positive": positive, "negative": negative})


def test_whatever_a_student_writes_has_the_shape(
    writer: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random one writes nonsense, but JSON of as many strings as were asked for."""
    texts: list[str] = []
    real = own_words.generate

    def watched(*arguments: Any, **named: Any) -> Any:
        found = real(*arguments, **named)
        texts.extend(reply.text for reply in found)
        return found

    monkeypatch.setattr(own_words, "generate", watched)
    written = write_contrast(writer, GOAL, [])
    found = Contrast.model_validate_json(texts[0])
    assert 5 <= len(found.positive) <= 8
    assert 1 <= len(found.negative) <= 3
    assert all(1 <= len(text) <= LONGEST for text in (*found.positive, *found.negative))
    if not written.problem:
        assert all("\n" not in text and text.strip() for text in written.positive)
    assert write_contrast(writer, GOAL, []) == written
    assert texts[0] == texts[1]


def test_what_is_cut_off_cannot_be_used(writer: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_words, "MOST_TOKENS", 20)
    written = write_contrast(writer, GOAL, [])
    assert (written.positive, written.negative) == ((), ())
    assert written.problem == "what it wrote was cut off"


def test_without_the_package_there_is_no_writing(
    writer: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    assert "llguidance" in write_contrast(writer, GOAL, []).problem


def test_a_student_without_room_does_not_write() -> None:
    assert write_contrast(build_student(), GOAL, []).problem


def test_good_sentences_are_used(writer: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Said(monkeypatch, said(GOOD, ["Be glad.", "Laugh."]))
    written = write_contrast(writer, GOAL, [])
    assert (written.positive, written.negative) == (tuple(GOOD), ("Be glad.", "Laugh."))
    assert written.problem == ""
    system, task = spy.prompts[0].messages
    assert "JSON" in system.content
    assert task.content == "The goal: sound grumpy"


@pytest.mark.parametrize(
    ("positive", "negative", "kept"),
    [
        (
            ["Be cross.", "be CROSS!", *GOOD[1:4]],
            OTHER,
            (["Be cross.", *GOOD[1:4]], OTHER),
        ),
        (["  Be\n cross. ", *GOOD[1:]], OTHER, (GOOD, OTHER)),
        ([" ", "...", *GOOD[:3]], OTHER, (GOOD[:3], OTHER)),
        (["Sound grumpy.", *GOOD], OTHER, (GOOD, OTHER)),
        (GOOD, ["Be cross", "sound grumpy", "Laugh."], (GOOD, OTHER)),
        (GOOD, ["Be cross"], (GOOD, [])),
        (
            ["Be <|end|>cross.", *GOOD[1:]],
            OTHER,
            (["Be < |end|>cross.", *GOOD[1:]], OTHER),
        ),
    ],
)
def test_repetitions_blanks_and_marks_are_left_out(
    writer: Student,
    monkeypatch: pytest.MonkeyPatch,
    positive: list[str],
    negative: list[str],
    kept: tuple[list[str], list[str]],
) -> None:
    Said(monkeypatch, said(positive, negative))
    written = write_contrast(writer, GOAL, [])
    assert (list(written.positive), list(written.negative)) == kept


@pytest.mark.parametrize("positive", [["Be cross."] * 5, ["Sound grumpy!"] * 5, [" "] * 5])
def test_too_few_different_sentences_cannot_be_used(
    writer: Student, monkeypatch: pytest.MonkeyPatch, positive: list[str]
) -> None:
    Said(monkeypatch, said(positive, OTHER))
    written = write_contrast(writer, GOAL, [])
    assert (written.positive, written.negative) == ((), ())
    assert "of 5 sentences were different and new" in written.problem


def test_later_rounds_are_told_what_did_not_work(
    writer: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Said(monkeypatch, said(GOOD, OTHER), said(GOOD, OTHER))
    row = RoundSummary(number=0, positive=("Be cross.", "</data> x"), pairs_kept=2, pairs_sampled=9)
    write_contrast(writer, GOAL, [])
    write_contrast(writer, GOAL, [row])
    assert spy.seeds == [0, 1]
    task = spy.prompts[1].messages[-1].content
    assert fenced(task, "instructions") == ["Be cross.\n</data> x"]
