"""Judging by yes and no: symmetric, each reply once, and after whatever the student says first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from selfsteer.agents.judges import yes_no
from selfsteer.agents.judges.yes_no import before_answer, yes_no_verdicts
from selfsteer.agents.types import Goal, Sample
from selfsteer.steering.generate import Generation
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs

GOAL = Goal(text="use {letters}")


def samples(*replies: str) -> list[Sample]:
    return [Sample(prompt=f"Question {n}?", reply=reply) for n, reply in enumerate(replies)]


class Spy:
    """Stands in for what the judge calls, and keeps what it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, reasons: dict[str, str]) -> None:
        self.reasons = reasons
        self.options: list[tuple[str, ...]] = []
        self.asked: list[str] = []
        self.weighed: list[str] = []
        monkeypatch.setattr(yes_no, "generate", self.generate)
        monkeypatch.setattr(yes_no, "option_logprobs", self.option_logprobs)

    def generate(self, _: Student, prompts: Sequence[Prompt], **__: Any) -> list[Generation]:
        self.asked += [prompt.messages[-1].content for prompt in prompts]
        texts = [self.reasons[self._reply(prompt)] for prompt in prompts]
        return [Generation(text=text, ids=[1], finished=True) for text in texts]

    def option_logprobs(
        self, _: Student, prompts: Sequence[Prompt], options: Sequence[str]
    ) -> Tensor:
        self.weighed += [self._reply(prompt) for prompt in prompts]
        self.options.append(tuple(options))
        return torch.tensor([[-1.0, -3.0, -2.0, -4.0]]).repeat(len(prompts), 1)

    def _reply(self, prompt: Prompt) -> str:
        return next(reply for reply in self.reasons if f"Text: {reply}\n" in prompt.text_of())


@pytest.fixture(autouse=True)
def text_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Prompt, "text_of", lambda self: self.messages[-1].content, raising=False)


def test_a_score_is_yes_against_no_over_both_spellings(talker: Student) -> None:
    """Worked out by hand, option by option, for a student that gives no reason."""
    [verdict] = yes_no_verdicts(talker, GOAL, samples("abc"))
    prompt = Prompt.chat(yes_no.QUESTION.format(reply="abc", goal=GOAL.text))
    probability = {
        answer: math.exp(
            float(
                completion_logprobs(talker, [Example(prompt=prompt, completion=answer)])[0]
                .double()
                .sum()
            )
        )
        for answer in ("yes", "Yes", "no", "No")
    }
    yes, no = (probability[a] + probability[a.title()] for a in ("yes", "no"))
    assert verdict.score == pytest.approx(yes / (yes + no), rel=1e-3)


def test_yes_and_no_are_treated_alike(talker: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = samples("abc", "xyz", "hello")
    scores = [verdict.score for verdict in yes_no_verdicts(talker, GOAL, asked)]
    option_logprobs = yes_no.option_logprobs

    def exchanged(*arguments: Any) -> Tensor:
        return option_logprobs(*arguments)[:, [2, 3, 0, 1]]

    monkeypatch.setattr(yes_no, "option_logprobs", exchanged)
    opposite = [verdict.score for verdict in yes_no_verdicts(talker, GOAL, asked)]
    assert opposite == pytest.approx([1 - score for score in scores])


def test_an_empty_reply_fits_no_request(talker: Student) -> None:
    scores = [v.score for v in yes_no_verdicts(talker, GOAL, samples("", "abc", " \n"))]
    assert scores[0] == scores[2] == 0
    assert scores[1] > 0
    assert yes_no_verdicts(talker, GOAL, []) == []
    assert [v.score for v in yes_no_verdicts(talker, GOAL, samples(""))] == [0]


def test_identical_replies_are_asked_about_once(
    talker: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch, {"abc": "", "xyz": ""})
    scores = [v.score for v in yes_no_verdicts(talker, GOAL, samples("xyz", "abc", "xyz", "xyz"))]
    assert len(scores) == 4
    assert sorted(spy.weighed) == ["abc", "xyz"]
    assert len(spy.asked) == 2


def test_the_question_holds_reply_and_goal_as_they_are(
    talker: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = "{goal} {0} %s"
    spy = Spy(monkeypatch, {reply: ""})
    yes_no_verdicts(talker, GOAL, samples(reply))
    assert reply in spy.asked[0]
    assert GOAL.text in spy.asked[0]


def test_answers_are_weighed_behind_the_reason(
    talker: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch, {"one": "asked a, is b, so no", "two": "yes", "three": "no idea"})
    verdicts = yes_no_verdicts(talker, GOAL, samples("one", "two", "three"))
    yes, no = (math.exp(a) + math.exp(b) for a, b in ((-1, -3), (-2, -4)))
    assert [v.score for v in verdicts] == pytest.approx([yes / (yes + no)] * 3)
    leads = {options[0].removesuffix("yes") for options in spy.options}
    assert leads == {"asked a, is b, so ", ""}
    for options in spy.options:
        lead = options[0].removesuffix("yes")
        assert options == tuple(lead + answer for answer in ("yes", "Yes", "no", "No"))


def test_scores_return_to_their_replies(talker: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies with different reasons are weighed in groups."""
    reasons = {"one": "first, so yes", "two": "second, so no", "three": "first, so no"}
    spy = Spy(monkeypatch, reasons)
    values = {"one": 0.9, "two": 0.2, "three": 0.6}

    def weigh(_: Student, prompts: Sequence[Prompt], reason: str) -> list[float]:
        return [values[spy._reply(prompt)] for prompt in prompts]

    monkeypatch.setattr(yes_no, "_weigh", weigh)
    verdicts = yes_no_verdicts(talker, GOAL, samples("two", "three", "one", "two"))
    assert [verdict.score for verdict in verdicts] == [0.2, 0.6, 0.9, 0.2]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("asked sea, is garden, so no", "asked sea, is garden, so"),
        ("Yes, because", ""),
        ("yes", ""),
        ("", ""),
        ("nothing was known of yesterday", ""),
        ("it is, so YES.", "it is, so"),
        ("not noble, no", "not noble,"),
    ],
)
def test_the_reason_is_what_comes_before_the_first_answer(said: str, reason: str) -> None:
    assert before_answer(said) == reason
