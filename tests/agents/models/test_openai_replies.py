"""What comes back from chat completions APIs with status 200, as different servers shape it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from selfsteer.agents.models.chat_model import Stop, Usage
from selfsteer.agents.models.errors import UnreadableReply
from selfsteer.agents.models.openai_reply import read_completion
from tests.agents.models.asks import answer_of, compatible
from tests.loopback import completions, faults
from tests.loopback.server import Answer, LoopbackServer, in_turn

CALL = {"id": "call_1", "type": "function", "function": {"name": "answer", "arguments": '{"a'}}
SERVERS = [completions.vllm, completions.llama_cpp, completions.ollama]
servers = pytest.mark.parametrize("shape", SERVERS)


@servers
def test_every_server_is_understood(shape: Callable[..., dict[str, Any]]) -> None:
    answer = Answer(json.dumps(shape('{"score": 1}')))
    with LoopbackServer(in_turn(answer)) as server:
        model = compatible(server)
        body = answer_of(model)
    assert body == answer.body
    reply = model.read(body)
    assert (reply.text, reply.stop, reply.model) == ('{"score": 1}', "end", completions.MODEL)
    assert reply.usage == Usage(input_tokens=16, output_tokens=7)


@servers
def test_every_server_may_run_out_of_tokens(shape: Callable[..., dict[str, Any]]) -> None:
    reply = read_completion(json.dumps(shape(None, finish_reason="length")))
    assert (reply.text, reply.stop) == ("", "length")


@servers
def test_every_server_may_leave_tokens_uncounted(shape: Callable[..., dict[str, Any]]) -> None:
    body = shape("{}") | {"usage": None}
    assert read_completion(json.dumps(body)).usage == Usage(counted=False)
    del body["usage"]
    assert read_completion(json.dumps(body)).usage == Usage(counted=False)


def test_tokens_from_the_cache_are_counted_once() -> None:
    usage = read_completion(completions.said().body).usage
    assert usage == Usage(input_tokens=11, output_tokens=7, cache_read_tokens=5)


@pytest.mark.parametrize(
    ("text", "changes", "stop", "kept"),
    [
        ("{}", {"finish_reason": "stop"}, "end", "{}"),
        ("{}", {"finish_reason": "eos"}, "end", "{}"),
        ('{"a"', {"finish_reason": "length"}, "length", '{"a"'),
        ("I would", {"finish_reason": "content_filter"}, "refusal", "I would"),
        (None, {"finish_reason": "content_filter"}, "refusal", ""),
        (None, {"more": {"refusal": "I would rather not."}}, "refusal", "I would rather not."),
        (None, {}, "empty", ""),
        ("", {}, "empty", ""),
        (None, {"more": {"reasoning_content": "a long thought"}}, "empty", ""),
        ("unused", {"choices": []}, "empty", ""),
        ("{}", {"finish_reason": None}, "other", "{}"),
        ("{}", {"finish_reason": "error"}, "other", "{}"),
        (None, {"finish_reason": "tool_calls", "more": {"tool_calls": [CALL]}}, "other", ""),
        ([{"type": "text", "text": "{"}, {"type": "text", "text": "}"}], {}, "end", "{}"),
        ([{"type": "image", "text": "x"}, {"type": "text", "text": "{}"}], {}, "end", "{}"),
    ],
)
def test_every_end_is_an_outcome(text: Any, changes: dict[str, Any], stop: Stop, kept: str) -> None:
    with LoopbackServer(in_turn(completions.said(text, **changes))) as server:
        model = compatible(server)
        reply = model.read(answer_of(model))
    assert (reply.stop, reply.text) == (stop, kept)
    assert reply.usage.output_tokens == 7


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (faults.WEB_PAGE, "a web page"),
        (faults.OTHER_JSON, "another kind"),
        (faults.JSON_NULL, "another kind"),
        (faults.NOTHING, "an empty body"),
        (faults.truncated(completions.said()), "is cut"),
        (Answer(completions.error(200).body), "another kind"),
    ],
)
def test_what_is_no_reply_is_kept_and_then_refused(answer: Answer, what: str) -> None:
    with LoopbackServer(in_turn(answer)) as server:
        model = compatible(server)
        body = answer_of(model)
    assert body == answer.body
    with pytest.raises(UnreadableReply, match=what):
        model.read(body)
