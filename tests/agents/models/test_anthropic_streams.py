"""Long answers of Anthropic's API, which come as a stream of events."""

from __future__ import annotations

from typing import Any

import pytest

from selfsteer.agents.models.anthropic_model import STREAM_ABOVE
from selfsteer.agents.models.chat_model import Usage
from selfsteer.agents.models.errors import CallAmbiguous, CallRefused, UnreadableReply
from tests.agents.models.asks import PATIENCE, answer_of, claude
from tests.loopback import faults, messages
from tests.loopback.server import Answer, LoopbackServer, in_turn

EVENTS = messages.events('{"score": 1}')
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "too busy"}}
HALF_AN_EVENT = Answer(
    messages.streamed(EVENTS[:4]).body + 'event: content_block_delta\ndata: {"type": "con\n\n',
    content_type="text/event-stream",
)


def _stream(answer: Answer, **options: Any) -> tuple[Any, str]:
    with LoopbackServer(in_turn(answer)) as server:
        model = claude(server, **options)
        body = answer_of(model, max_tokens=STREAM_ABOVE + 1)
    assert server.bodies()[0]["stream"] is True
    return model, body


def test_a_stream_is_put_together_into_one_message() -> None:
    model, body = _stream(messages.streamed(EVENTS))
    reply = model.read(body)
    assert (reply.text, reply.stop, reply.model) == ('{"score": 1}', "end", messages.MODEL)
    assert reply.usage == Usage(
        input_tokens=11, output_tokens=7, cache_read_tokens=5, cache_write_tokens=3
    )


def test_a_streamed_refusal_is_a_reply() -> None:
    model, body = _stream(messages.streamed(messages.events("", stop_reason="refusal")))
    assert model.read(body).stop == "refusal"


def test_events_and_blocks_of_a_new_kind_are_passed_over() -> None:
    new: list[dict[str, Any]] = [
        {"type": "content_block_start", "index": 1, "content_block": {"type": "hologram"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "hologram_delta", "z": 1}},
        {"type": "content_block_stop", "index": 1},
        {"type": "weather"},
    ]
    model, body = _stream(messages.streamed(EVENTS[:-2] + new + EVENTS[-2:]))
    assert model.read(body).text == '{"score": 1}'


@pytest.mark.parametrize("length", range(len(EVENTS) - 1))
def test_a_stream_that_ends_before_its_message_may_have_been_paid(length: int) -> None:
    with pytest.raises(CallAmbiguous, match="may have been paid"):
        _stream(messages.streamed(EVENTS[:length]))


@pytest.mark.parametrize(
    "answer",
    [
        messages.streamed([*EVENTS[:4], ERROR]),
        messages.streamed([ERROR]),
        HALF_AN_EVENT,
        # A piece of a block that never began.
        messages.streamed([EVENTS[0], EVENTS[3]]),
        faults.slow(messages.streamed(EVENTS)),
        faults.cut(messages.streamed(EVENTS)),
    ],
)
def test_a_stream_that_fails_may_have_been_paid(answer: Answer) -> None:
    with pytest.raises(CallAmbiguous, match="may have been paid"):
        _stream(answer, timeout=PATIENCE)


def test_a_stream_that_is_turned_down_was_not_paid() -> None:
    with pytest.raises(CallRefused, match="status 529"):
        _stream(messages.error(529, "overloaded_error"))


def test_a_server_that_does_not_stream_is_read_all_the_same() -> None:
    model, body = _stream(messages.said('{"score": 0}'))
    assert model.read(body).text == '{"score": 0}'


def test_a_web_page_instead_of_a_stream_is_kept_and_then_refused() -> None:
    model, body = _stream(faults.WEB_PAGE)
    with pytest.raises(UnreadableReply, match="a web page"):
        model.read(body)
