"""What comes back from Anthropic's API with status 200."""

from __future__ import annotations

import json
from typing import Any

import pytest

from selfsteer.agents.models.anthropic_reply import read_message
from selfsteer.agents.models.chat_model import Stop, Usage
from selfsteer.agents.models.errors import UnreadableReply
from tests.agents.models.asks import answer_of, claude
from tests.loopback import faults, messages
from tests.loopback.server import Answer, LoopbackServer, in_turn

TOOL_USE = {"type": "tool_use", "id": "toolu_1", "name": "answer", "input": '{"score": 1'}
THINKING = {"type": "thinking", "thinking": "hm", "signature": "x"}
NEW_KIND = {"type": "hologram", "text": {"not": "a string"}, "depth": 3}


def test_the_body_comes_back_as_it_was_sent() -> None:
    answer = messages.said('{"score": 1, "reason": "größer"}', service_tier="standard")
    with LoopbackServer(in_turn(answer)) as server:
        assert answer_of(claude(server)) == answer.body


def test_a_reply_is_read_with_its_usage() -> None:
    reply = read_message(messages.said('{"a": 1}').body)
    assert reply.text == '{"a": 1}'
    assert reply.stop == "end"
    assert reply.model == messages.MODEL
    assert reply.usage == Usage(
        input_tokens=11, output_tokens=7, cache_read_tokens=5, cache_write_tokens=3
    )


@pytest.mark.parametrize(
    ("text", "changes", "stop", "kept"),
    [
        ("{}", {"stop_reason": "end_turn"}, "end", "{}"),
        ("{}", {"stop_reason": "stop_sequence"}, "end", "{}"),
        ('{"a"', {"stop_reason": "max_tokens"}, "length", '{"a"'),
        ('{"a"', {"stop_reason": "model_context_window_exceeded"}, "length", '{"a"'),
        ("I would rather not.", {"stop_reason": "refusal"}, "refusal", "I would rather not."),
        (None, {"stop_reason": "refusal"}, "refusal", ""),
        (None, {"stop_reason": "end_turn"}, "empty", ""),
        (None, {"stop_reason": "max_tokens"}, "length", ""),
        (" \n", {}, "empty", " \n"),
        ("{}", {"stop_reason": "pause_turn"}, "other", "{}"),
        ("{}", {"stop_reason": "a_new_reason"}, "other", "{}"),
        ("{}", {"stop_reason": None}, "other", "{}"),
        (None, {"content": [TOOL_USE], "stop_reason": "tool_use"}, "other", ""),
        (None, {"content": [TOOL_USE]}, "empty", ""),
        (None, {"content": [THINKING, {"type": "text", "text": "{}"}, NEW_KIND]}, "end", "{}"),
    ],
)
def test_every_end_is_an_outcome(
    text: str | None, changes: dict[str, Any], stop: Stop, kept: str
) -> None:
    with LoopbackServer(in_turn(messages.said(text, **changes))) as server:
        model = claude(server)
        reply = model.read(answer_of(model))
    assert (reply.stop, reply.text) == (stop, kept)
    assert reply.usage.output_tokens == 7


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": None, "output_tokens": 7}])
def test_tokens_that_were_not_counted_are_not_taken_for_none(usage: dict[str, Any] | None) -> None:
    reply = read_message(json.dumps(messages.message(usage=usage)))
    assert reply.usage == Usage(counted=False)


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (faults.WEB_PAGE, "a web page"),
        (faults.OTHER_JSON, "another kind"),
        (faults.JSON_NULL, "another kind"),
        (faults.NOTHING, "an empty body"),
        (faults.truncated(messages.said()), "is cut"),
        (Answer(messages.error(200).body), "another kind"),
    ],
)
def test_what_is_no_reply_is_kept_and_then_refused(answer: Answer, what: str) -> None:
    with LoopbackServer(in_turn(answer)) as server:
        model = claude(server)
        body = answer_of(model)
    assert body == answer.body
    with pytest.raises(UnreadableReply, match=what):
        model.read(body)
