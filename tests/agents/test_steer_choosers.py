"""The student's own call: the one that the conversation speaks for, or one under a grammar."""

from __future__ import annotations

import sys

import pytest

from selfsteer.agents.steer_choosers import (
    LEVELS,
    Choice,
    GrammarChooser,
    OptionChooser,
    longest_call,
)
from selfsteer.agents.steer_tool import allow, call_text, possible_calls, read_call
from selfsteer.errors import GrammarError, StudentError
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from selfsteer.steering.scoring import completion_logprobs
from tests.agents.steerables import build_reader, steerables

SYSTEM = "Say how."
PROMPTS = [Prompt.chat(text, system=SYSTEM) for text in ("be glad", "x", "a longer wish, of words")]


@pytest.fixture(scope="module")
def reader() -> Student:
    return build_reader()


@pytest.mark.parametrize("active", [[], ["dry"]])
def test_the_option_that_the_conversation_adds_most_to_is_taken(
    reader: Student, active: list[str]
) -> None:
    allowed = allow(steerables(reader))
    options = [call_text(call) for call in possible_calls(allowed, active, LEVELS)]
    silence = Prompt.chat("", system=SYSTEM)
    for prompt in PROMPTS:
        asked, unasked = (
            completion_logprobs(reader, [Example(prompt=p, completion=o) for o in options])
            for p in (prompt, silence)
        )
        expected = [float(a.sum() - b.sum()) for a, b in zip(asked, unasked, strict=True)]
        choice = OptionChooser().choose(reader, prompt, allowed, active)
        assert [weighed.call for weighed in choice.scores] == options
        scores = [weighed.score for weighed in choice.scores]
        assert scores == pytest.approx(expected, abs=2e-3)
        assert choice.text == options[max(range(len(options)), key=lambda i: scores[i] or 0.0)]


def test_a_conversation_that_says_nothing_changes_nothing(reader: Student) -> None:
    silence = Prompt.chat("", system=SYSTEM)
    choice = OptionChooser().choose(reader, silence, allow(steerables(reader)), [])
    assert choice.text == '{"tool": "none"}'


@pytest.mark.filterwarnings("ignore")
def test_numbers_that_are_none_are_an_error() -> None:
    broken = build_reader()
    broken.model.lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(StudentError, match="logits that are not finite"):
        OptionChooser().choose(broken, PROMPTS[0], allow(steerables(broken)), [])


@pytest.mark.parametrize("active", [[], ["dry"], ["glad", "fröhlich"]])
def test_what_is_written_under_the_grammar_is_a_call_that_may_be_made(
    reader: Student, active: list[str]
) -> None:
    allowed = allow(steerables(reader))
    for prompt in PROMPTS:
        choice = GrammarChooser().choose(reader, prompt, allowed, active)
        call = read_call(choice.text)
        assert choice == Choice(call_text(call))
        fine = {call_text(call) for call in possible_calls(allowed, active, 21)}
        assert choice.text in fine


def test_the_longest_call_has_room(reader: Student) -> None:
    allowed = allow(steerables(reader))
    for active in ([], ["fröhlich"]):
        texts = [call_text(call) for call in possible_calls(allowed, active, 21)]
        longest = max(len(reader.tokenizer(text).input_ids) for text in texts)
        assert longest <= longest_call(allowed, active)


def test_without_the_package_options_are_still_weighed(
    reader: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    allowed = allow(steerables(reader))
    with pytest.raises(GrammarError, match=r"selfsteer\[grammar\]"):
        GrammarChooser().choose(reader, PROMPTS[0], allowed, [])
    read_call(OptionChooser().choose(reader, PROMPTS[0], allowed, []).text)
