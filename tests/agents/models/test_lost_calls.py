"""Calls without an answer, over both APIs: certainly not paid, or perhaps paid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from selfsteer.agents.models.chat_model import ChatModel
from selfsteer.agents.models.errors import CallAmbiguous, CallRefused, ModelUnavailable
from tests.agents.models.asks import PATIENCE, answer_of, claude, compatible
from tests.agents.models.conftest import KEY
from tests.loopback import completions, faults, messages
from tests.loopback.server import Answer, LoopbackServer, in_turn

Maker = Callable[..., ChatModel]
API = tuple[Maker, ModuleType]
both = pytest.mark.parametrize("api", [(claude, messages), (compatible, completions)])


def _failure(api: API, *answers: Answer, **options: Any) -> ModelUnavailable:
    """How a call ends that gets these answers, all of which must be asked for."""
    with LoopbackServer(in_turn(*answers)) as server, pytest.raises(ModelUnavailable) as caught:
        answer_of(api[0](server, **options))
    assert len(server.asked) == len(answers)
    assert KEY not in str(caught.value)
    assert str(caught.value).count(". ") == 0 and str(caught.value).endswith(".")
    return caught.value


@both
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 418, 422, 429, 503, 529])
def test_what_is_turned_down_was_not_paid(api: API, status: int) -> None:
    failure = _failure(api, api[1].error(status))
    assert isinstance(failure, CallRefused)
    assert f"status {status}" in str(failure)


@both
@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "_API_KEY"), (404, "the model's name"), (413, "ask for less"), (429, "wait")],
)
def test_a_refusal_says_what_to_do(api: API, status: int, advice: str) -> None:
    assert advice in str(_failure(api, api[1].error(status)))


@both
def test_a_refusal_quotes_the_server_on_one_line(api: API) -> None:
    told = f"max_tokens is\ntoo large\x1b[2J for {KEY}."
    sentence = str(_failure(api, api[1].error(400, text=told)))
    assert "(max_tokens is too large[2J for ***)" in sentence


@both
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_not_quoted(api: API, status: int) -> None:
    assert "sk-abc" not in str(_failure(api, api[1].error(status, text="bad key sk-abc***xyz")))


@both
def test_a_redirection_is_not_followed(api: API) -> None:
    failure = _failure(api, Answer(status=307, location="http://127.0.0.1:9/elsewhere"))
    assert isinstance(failure, CallRefused)
    assert "points to" in str(failure)


@both
@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_what_breaks_behind_the_door_may_have_been_paid(api: API, status: int) -> None:
    failure = _failure(api, api[1].error(status))
    assert isinstance(failure, CallAmbiguous)
    assert f"status {status}" in str(failure)


@both
def test_a_hang_up_may_have_been_paid(api: API) -> None:
    for answer in (faults.HANG_UP, faults.cut(api[1].said())):
        failure = _failure(api, answer)
        assert isinstance(failure, CallAmbiguous)
        assert "broke off" in str(failure)


@both
def test_a_slow_body_may_have_been_paid(api: API) -> None:
    failure = _failure(api, faults.slow(api[1].said()), timeout=PATIENCE)
    assert isinstance(failure, CallAmbiguous)
    assert "longer time-out" in str(failure)


@both
def test_nobody_there_was_not_paid(api: API) -> None:
    with LoopbackServer(in_turn()) as server:
        pass
    with pytest.raises(CallRefused, match="cannot be reached") as refused:
        answer_of(api[0](server))
    assert (refused.value.passing, refused.value.wait) == (True, None)


@both
@pytest.mark.parametrize("address", ["nonsense", "ftp://127.0.0.1/"])
def test_an_address_that_is_none_was_not_paid(
    api: API, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SELFSTEER_FORBID_REQUESTS")
    asked = pytest.raises(CallRefused, match="base URL")
    with LoopbackServer(in_turn()) as server, asked as refused:
        answer_of(api[0](server, base_url=address))
    assert not refused.value.passing


@both
@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
def test_no_sdk_repeats_a_call_by_itself(api: API, status: int) -> None:
    """Not even where the server tells it to: what repeats calls has to know what they cost."""
    _failure(api, replace(api[1].error(status), headers={"x-should-retry": "true"}))


@both
@pytest.mark.parametrize("status", [429, 503, 529])
def test_what_is_turned_down_for_now_says_how_long(api: API, status: int) -> None:
    failure = _failure(api, replace(api[1].error(status), headers={"retry-after-ms": "2500"}))
    assert isinstance(failure, CallRefused)
    assert (failure.passing, failure.wait) == (True, 2.5)


@both
@pytest.mark.parametrize("status", [400, 401, 404, 501])
def test_what_is_turned_down_for_good_is_not_passing(api: API, status: int) -> None:
    failure = _failure(api, api[1].error(status))
    assert isinstance(failure, CallRefused)
    assert not failure.passing


@both
def test_a_loss_is_forgotten_by_the_next_call(api: API) -> None:
    with LoopbackServer(in_turn(faults.HANG_UP, api[1].error(404))) as server:
        model = api[0](server)
        with pytest.raises(CallAmbiguous):
            answer_of(model)
        with pytest.raises(CallRefused):
            answer_of(model)
