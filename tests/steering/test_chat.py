"""Chat messages for students without a template: plain lines, with a word of warning."""

from __future__ import annotations

import warnings

import pytest

from selfsteer.steering.chat import ChatWarning, Span, plain_text
from selfsteer.steering.encoding import encode
from selfsteer.steering.prompts import Message, Prompt
from tests.steering.students import build_student

TALK = Prompt(
    messages=(
        Message(role="system", content="Be brief."),
        Message(role="user", content="Hello"),
        Message(role="assistant", content="Hi"),
        Message(role="user", content="Who are you?"),
    )
)


def test_messages_are_lines_without_names_of_speakers() -> None:
    found = plain_text(TALK.messages)
    assert found.text == "Be brief.\nHello\nHi\nWho are you?"
    assert found.spans[1] == Span(10, 15, "user")
    for span, message in zip(found.spans, TALK.messages, strict=True):
        assert found.text[span.start : span.stop] == message.content
        assert span.role == message.role


def test_the_warning_comes_once_for_each_student() -> None:
    first, second = (build_student("llama", template=None) for _ in range(2))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for student in (first, first, second):
            encode(student, TALK)
    assert [w.category for w in caught] == [ChatWarning, ChatWarning]
    assert "tiny-llama has no chat template" in str(caught[0].message)


@pytest.mark.filterwarnings("error::selfsteer.steering.chat.ChatWarning")
def test_raw_prompts_and_templates_need_no_warning() -> None:
    encode(build_student("llama", template=None), Prompt.raw("Hello"))
    encode(build_student("llama"), TALK)
