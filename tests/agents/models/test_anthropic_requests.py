"""What goes out to Anthropic's API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from selfsteer.agents.models.anthropic_model import STREAM_ABOVE, AnthropicModel
from selfsteer.errors import ControllerError
from selfsteer.steering.prompts import Message
from tests.agents.models.asks import ask, claude
from tests.agents.models.conftest import KEY
from tests.loopback import messages
from tests.loopback.server import LoopbackServer, in_turn


def test_the_request_is_what_goes_over_the_wire() -> None:
    with LoopbackServer(in_turn(messages.said())) as server:
        model = claude(server)
        request = model.request(ask())
        model.send(request)
    assert server.paths() == ["/v1/messages"]
    assert server.bodies() == [json.loads(json.dumps(request))]
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"


def test_the_stable_prefix_is_cached_and_the_conversation_is_not() -> None:
    with LoopbackServer(in_turn()) as server:
        turns = (
            Message(role="user", content="one"),
            Message(role="assistant", content="two"),
            Message(role="user", content="three"),
        )
        request = claude(server).request(ask(messages=turns))
    assert request["system"] == [
        {"type": "text", "text": "You score replies.", "cache_control": {"type": "ephemeral"}}
    ]
    assert request["messages"] == [turn.model_dump() for turn in turns]


def test_no_system_message_leaves_none_out() -> None:
    with LoopbackServer(in_turn()) as server:
        assert "system" not in claude(server).request(ask(system=""))


def test_the_schema_is_closed_and_bounds_are_in_words() -> None:
    with LoopbackServer(in_turn()) as server:
        request: Any = claude(server).request(ask())
    schema = request["output_config"]["format"]["schema"]
    assert schema["additionalProperties"] is False
    assert "maximum" not in schema["properties"]["score"]
    assert "maximum: 1" in schema["properties"]["score"]["description"]


def test_a_request_carries_no_key_and_nothing_that_the_api_refuses() -> None:
    with LoopbackServer(in_turn()) as server:
        request = claude(server).request(ask())
    assert KEY not in json.dumps(request)
    assert not {"temperature", "top_p", "top_k", "stream"} & request.keys()


def test_equal_asks_make_equal_requests_in_other_clients() -> None:
    with LoopbackServer(in_turn()) as server:
        first, second = claude(server), claude(server, timeout=3.0)
    assert json.dumps(first.request(ask())) == json.dumps(second.request(ask()))


@pytest.mark.parametrize(("tokens", "streams"), [(STREAM_ABOVE, False), (STREAM_ABOVE + 1, True)])
def test_only_long_answers_are_streamed(tokens: int, streams: bool) -> None:
    with LoopbackServer(in_turn()) as server:
        request = claude(server).request(ask(max_tokens=tokens))
    assert request.get("stream", False) is streams


def test_the_environment_may_name_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer(in_turn(messages.said())) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        model = AnthropicModel("some-model", max_retries=0)
        model.send(model.request(ask()))
    assert len(server.asked) == 1
    assert model.name == "anthropic/some-model"


def test_a_missing_key_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    # Another credential that the SDK would take without being told.
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token")
    with pytest.raises(ControllerError, match="ANTHROPIC_API_KEY"):
        AnthropicModel("some-model")


def test_a_key_with_a_line_break_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "half\nother")
    with pytest.raises(ControllerError, match="on one line") as caught:
        AnthropicModel("some-model")
    assert "half" not in str(caught.value)


def test_a_model_must_be_named() -> None:
    with pytest.raises(ControllerError, match="no default model"):
        AnthropicModel(" ")
