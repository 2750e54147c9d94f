"""What goes out to a chat completions API."""

from __future__ import annotations

import json
import sys

import pytest

from selfsteer.agents.models.errors import CallRefused
from selfsteer.agents.models.openai_model import OpenAIModel, with_schema_in_prompt
from selfsteer.errors import ControllerError
from tests.agents.models.asks import Score, answer_of, ask, compatible
from tests.agents.models.conftest import KEY
from tests.loopback import completions
from tests.loopback.server import LoopbackServer, in_turn

UNKNOWN = completions.error(400, "Unsupported parameter: 'response_format'")


def test_the_request_is_what_goes_over_the_wire() -> None:
    with LoopbackServer(in_turn(completions.said())) as server:
        model = compatible(server)
        request = model.request(ask())
        model.send(request)
    assert server.paths() == ["/v1/chat/completions"]
    assert server.bodies() == [request]
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in json.dumps(request)


def test_the_answer_is_asked_for_by_schema() -> None:
    with LoopbackServer(in_turn()) as server:
        request = compatible(server).request(ask())
    assert request["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "score", "schema": Score.model_json_schema()},
    }
    assert request["messages"] == [
        {"role": "system", "content": "You score replies."},
        {"role": "user", "content": "Reply: <<hello>>"},
    ]


def test_the_length_limit_has_the_name_that_the_server_knows() -> None:
    with LoopbackServer(in_turn()) as server:
        assert compatible(server).request(ask())["max_tokens"] == 256
    official = OpenAIModel("some-model").request(ask())
    assert official["max_completion_tokens"] == 256
    assert "max_tokens" not in official


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_without_schemas_gets_them_in_the_prompt_from_then_on(status: int) -> None:
    turned_down = completions.error(status, "grammar: not supported here")
    with LoopbackServer(in_turn(turned_down, *[completions.said()] * 2)) as server:
        model = compatible(server)
        before = model.request(ask())
        model.send(before)
        model.send(before)
    first, second, third = server.bodies()
    assert first == before
    assert second == third == with_schema_in_prompt(before)
    # The call keeps its identity, so that a resumed run finds it in the ledger.
    assert model.request(ask()) == before


def test_the_schema_in_the_prompt_follows_the_system_message() -> None:
    with LoopbackServer(in_turn()) as server:
        request = compatible(server).request(ask())
    plain = with_schema_in_prompt(request)
    assert "response_format" not in plain
    system, user = plain["messages"]
    assert system["content"].startswith("You score replies.\n\n")
    assert json.loads(system["content"].split("\n")[-1]) == Score.model_json_schema()
    assert user == {"role": "user", "content": "Reply: <<hello>>"}


def test_the_schema_in_the_prompt_needs_no_system_message() -> None:
    with LoopbackServer(in_turn()) as server:
        plain = with_schema_in_prompt(compatible(server).request(ask(system="")))
    assert [turn["role"] for turn in plain["messages"]] == ["system", "user"]


def test_a_bad_request_about_something_else_is_not_sent_again() -> None:
    too_long = completions.error(400, "context is too long")
    refused = pytest.raises(CallRefused, match="context is too long")
    with LoopbackServer(in_turn(too_long)) as server, refused:
        answer_of(compatible(server))
    assert len(server.asked) == 1


def test_a_server_that_refuses_both_ways_was_not_paid() -> None:
    refused = pytest.raises(CallRefused, match="no such model")
    script = in_turn(UNKNOWN, completions.error(400, "no such model"))
    with LoopbackServer(script) as server, refused:
        answer_of(compatible(server))
    assert len(server.asked) == 2


def test_a_server_of_ones_own_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with LoopbackServer(in_turn(completions.said())) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        model = OpenAIModel("some-model")
        answer_of(model)
    assert len(server.asked) == 1
    assert model.name == "openai/some-model"


def test_openai_itself_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ControllerError, match="OPENAI_API_KEY"):
        OpenAIModel("some-model")


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ControllerError, match=r"pip install 'selfsteer\[openai\]'"):
        OpenAIModel("some-model")


def test_a_model_must_be_named() -> None:
    with pytest.raises(ControllerError, match="no default model"):
        OpenAIModel("")
