"""The switch that forbids requests to real services."""

from __future__ import annotations

import os
import threading

import pytest

from selfsteer.agents.models.allow import VARIABLE, check_allowed, forbid_requests
from selfsteer.agents.models.anthropic_model import AnthropicModel
from selfsteer.agents.models.errors import RequestsForbidden
from selfsteer.agents.models.openai_model import OpenAIModel
from tests.agents.models.asks import answer_of, ask, claude
from tests.loopback import messages
from tests.loopback.server import LoopbackServer, in_turn

REMOTE = "api.example.org"


def test_every_test_runs_with_requests_forbidden() -> None:
    assert os.environ[VARIABLE] == "1"
    with pytest.raises(RequestsForbidden, match="switched off"):
        check_allowed(REMOTE)


@pytest.mark.parametrize("model", [AnthropicModel, OpenAIModel])
def test_no_call_reaches_a_real_service(model: type[AnthropicModel] | type[OpenAIModel]) -> None:
    with pytest.raises(RequestsForbidden):
        answer_of(model("some-model"))


def test_no_batch_reaches_a_real_service() -> None:
    model = AnthropicModel("some-model")
    with pytest.raises(RequestsForbidden):
        model.start_batch([model.request(ask())], "mark")
    with pytest.raises(RequestsForbidden):
        model.finish_batch("msgbatch_1", 1)


def test_this_machine_may_be_asked() -> None:
    with LoopbackServer(in_turn(messages.said())) as server, forbid_requests():
        answer_of(claude(server))
    assert len(server.asked) == 1


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1"])
def test_loopback_hosts(host: str) -> None:
    check_allowed(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "localhost.example.org", "10.0.0.1", "127.0.0.1.x"]
)
def test_hosts_that_are_not_this_machine(host: str) -> None:
    with pytest.raises(RequestsForbidden):
        check_allowed(host)


def test_the_block_forbids_in_every_thread_and_only_while_it_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(VARIABLE)
    caught: list[type[BaseException]] = []

    def attempt() -> None:
        try:
            check_allowed(REMOTE)
        except RequestsForbidden as error:
            caught.append(type(error))

    with forbid_requests(), forbid_requests():
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
    attempt()
    assert caught == [RequestsForbidden]


@pytest.mark.parametrize(
    ("value", "forbids"),
    [("1", True), ("true", True), ("ture", True), ("0", False), ("", False), ("False", False)],
)
def test_only_a_plain_no_allows(monkeypatch: pytest.MonkeyPatch, value: str, forbids: bool) -> None:
    monkeypatch.setenv(VARIABLE, value)
    if forbids:
        with pytest.raises(RequestsForbidden):
            check_allowed(REMOTE)
    else:
        check_allowed(REMOTE)
