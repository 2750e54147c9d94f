"""Many requests at once, through Anthropic's message batches."""

from __future__ import annotations

import json
from typing import Any

import pytest

from selfsteer.agents.models.anthropic_model import STREAM_ABOVE, AnthropicModel
from selfsteer.agents.models.errors import CallAmbiguous, CallRefused
from tests.agents.models.asks import ask, claude
from tests.loopback import faults, messages
from tests.loopback.server import Answer, LoopbackServer, in_turn


def _succeeded(text: str) -> dict[str, Any]:
    return {"type": "succeeded", "message": messages.message(text)}


MARK = "1a2b3c"
ERRORED = {
    "type": "errored",
    "error": {"type": "error", "error": {"type": "invalid_request_error", "message": "too long"}},
}


def send(model: AnthropicModel, requests: list[Any]) -> list[Any]:
    return model.finish_batch(model.start_batch(requests, MARK), len(requests))


def test_answers_come_back_in_the_order_of_the_requests() -> None:
    texts = [f'{{"n": "{n}\u2028"}}' for n in range(12)]
    with LoopbackServer(messages.BatchDesk([_succeeded(text) for text in texts])) as server:
        model = claude(server)
        bodies = send(model, [model.request(ask(system=str(n))) for n in range(12)])
    read = [model.read(body) for body in bodies if isinstance(body, str)]
    assert [reply.text for reply in read] == texts
    assert read[0].usage.input_tokens == 11


def test_a_batch_carries_the_same_requests_as_calls_do() -> None:
    with LoopbackServer(messages.BatchDesk([_succeeded("{}")] * 2)) as server:
        model = claude(server)
        short, long = model.request(ask()), model.request(ask(max_tokens=STREAM_ABOVE + 1))
        send(model, [short, long])
    sent = [entry["params"] for entry in server.bodies()[0]["requests"]]
    assert long.pop("stream") is True  # a batch has nothing to stream
    assert sent == json.loads(json.dumps([short, long]))


def test_entries_without_an_answer_leave_the_others_theirs() -> None:
    results = [ERRORED, _succeeded("{}"), {"type": "expired"}, {"type": "canceled"}, None]
    results.append({"type": "something_new"})
    with LoopbackServer(messages.BatchDesk(results)) as server:
        model = claude(server)
        outcomes = send(model, [model.request(ask())] * 6)
    refused, body, expired, cancelled, missing, new = outcomes
    assert isinstance(body, str) and model.read(body).text == "{}"
    for outcome, why in (
        (refused, "turned down (too long)"),
        (expired, "expired"),
        (cancelled, "cancelled"),
    ):
        assert isinstance(outcome, CallRefused) and why in str(outcome)
    for outcome in (missing, new):
        assert isinstance(outcome, CallAmbiguous) and "msgbatch_1" in str(outcome)


def test_a_batch_is_found_again_by_its_id() -> None:
    desk = messages.BatchDesk([_succeeded("{}")], polls=5)
    with LoopbackServer(desk) as server:
        model = claude(server)
        batch_id = model.start_batch([model.request(ask())], MARK)
        bodies = claude(server).finish_batch(batch_id, 1)
    assert [type(body) for body in bodies] == [str]
    assert [asked.method for asked in server.asked].count("POST") == 1
    assert server.paths()[1:6] == [f"/v1/messages/batches/{batch_id}"] * 5


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (messages.error(413), CallRefused),
        (messages.error(500), CallAmbiguous),
        (faults.HANG_UP, CallAmbiguous),
        (faults.WEB_PAGE, CallAmbiguous),
        (faults.OTHER_JSON, CallAmbiguous),
        (faults.truncated(messages.said()), CallAmbiguous),
    ],
)
def test_a_batch_that_is_not_accepted(answer: Answer, outcome: type[Exception]) -> None:
    with LoopbackServer(in_turn(answer)) as server:
        model = claude(server)
        with pytest.raises(outcome):
            model.start_batch([model.request(ask())], MARK)


@pytest.mark.parametrize(
    "answer",
    [
        messages.error(404),
        messages.error(500),
        faults.HANG_UP,
        faults.WEB_PAGE,
        faults.OTHER_JSON,
        faults.truncated(messages.said()),
    ],
)
def test_a_batch_that_was_accepted_is_never_called_unpaid(answer: Answer) -> None:
    accepted = pytest.raises(CallAmbiguous, match="batch msgbatch_1 was accepted")
    with LoopbackServer(in_turn(answer)) as server, accepted:
        claude(server).finish_batch("msgbatch_1", 1)


def test_broken_lines_of_the_results_are_entries_without_an_answer() -> None:
    desk = messages.BatchDesk([_succeeded("{}")], polls=0)
    lines = ['{"custom_id": "0", "result": {"type": "succ', "[]", '{"custom_id": "1"}']

    def script(asked: Any) -> Answer:
        return Answer("\n".join(lines)) if asked.path.endswith("/results") else desk(asked)

    with LoopbackServer(script) as server:
        outcomes = claude(server).finish_batch("msgbatch_1", 2)
    assert [type(outcome) for outcome in outcomes] == [CallAmbiguous, CallAmbiguous]
