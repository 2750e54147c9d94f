"""Every fault of a server, over both APIs and streamed where that exists, through all that stands
between a decision and the wire: the SDK's client, the ledger, and the typed answer.

What is asserted of each: how the decision ends, what the ledger says then, what counts as paid, and
that asking again neither loses an answer nor pays for one twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from selfsteer.agents.answers import Reflection
from selfsteer.agents.asking import Declined, ask_typed
from selfsteer.agents.budget import Budget
from selfsteer.agents.models import prices
from selfsteer.agents.models.anthropic_model import STREAM_ABOVE, AnthropicModel
from selfsteer.agents.models.chat_model import ChatModel
from selfsteer.agents.models.errors import CallRefused
from selfsteer.agents.models.openai_model import OpenAIModel
from selfsteer.agents.paid_calls import CallInDoubt, OnAmbiguous, PaidCalls
from selfsteer.memory.ledger import Ledger
from selfsteer.memory.records import LedgerEntry, Paid
from selfsteer.memory.store import Memory
from tests.loopback import completions, faults, messages
from tests.loopback.server import Answer, LoopbackServer, in_turn

FIELDS = {"goal": "g", "thresholds": "t", "history": "h", "methods": "m"}
GOOD = json.dumps({"action": "give_up", "reason": "Nothing helps."})
PATIENCE = 0.5  # seconds; only what is slow takes as long
PRICE = prices.Price(input=1, output=5, cache_read=0.1, cache_write=1.25)
# Of a reply of each API: what it says of its tokens.
READ = {"claude": 11 + 7 + 5 + 3, "openai": 16 + 7}


@dataclass(frozen=True)
class Way:
    """How a model is asked.

    Attributes:
        name: for the test's.
        api: whose answers these are.
        streams: whether the answer comes as a stream of events.
    """

    name: str
    api: str
    streams: bool

    def model(self, url: str) -> ChatModel:
        if self.api == "claude":
            return AnthropicModel("m", base_url=url, timeout=PATIENCE)
        return OpenAIModel("m", base_url=f"{url}/v1", timeout=PATIENCE)

    @property
    def max_tokens(self) -> int:
        return STREAM_ABOVE + 1 if self.streams else 100

    def says(self, text: str | None, **changes: Any) -> Answer:
        """A message in the form of this API; a stream only has text and an end."""
        if self.api == "openai":
            return completions.said(text, **changes)
        if self.streams:
            return messages.streamed(messages.events(text or "", **changes))
        return messages.said(text, **changes)

    def fails(self, status: int) -> Answer:
        return (completions if self.api == "openai" else messages).error(status)


CLAUDE = Way("claude", "claude", streams=False)
STREAM = Way("claude-stream", "claude", streams=True)
OPENAI = Way("openai", "openai", streams=False)
WAYS = (CLAUDE, STREAM, OPENAI)
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)


class Run:
    """A run of a memory, every stretch of it with a server and clients of its own."""

    def __init__(self, path: Path, way: Way) -> None:
        self._path, self._way = path, way
        with Memory.open(path) as memory:
            started = memory.runs.start(
                "goal", student="s", fingerprint="f", controller="c", seed=0, settings={}
            )
        self.id = started.id

    def decide(self, *script: Answer, on_ambiguous: OnAmbiguous = "ask") -> tuple[Any, int]:
        """How a decision ends, and how many requests it took."""
        with LoopbackServer(in_turn(*script)) as server, Memory.open(self._path) as memory:
            paid = PaidCalls(
                memory.ledger,
                self.id,
                Budget(),
                self._way.model(server.url),
                partial(prices.cost, model="m", table={"m": PRICE}),
                on_ambiguous,
            )
            try:
                end: Any = ask_typed(
                    paid, "reflect-0", "reflect", Reflection, FIELDS,
                    max_tokens=self._way.max_tokens,
                )  # fmt: skip
            except (CallInDoubt, CallRefused, Declined) as error:
                end = error
            self.bodies = server.bodies()
        return end, len(self.bodies)

    def entries(self) -> list[LedgerEntry]:
        with Memory.open(self._path) as memory:
            return memory.ledger.entries(self.id)

    def statuses(self) -> list[str]:
        return [entry.status for entry in self.entries()]

    def paid(self) -> Paid:
        with Memory.open(self._path) as memory:
            return Ledger.paid(memory.ledger, self.id)


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Way], Run]:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "key-of-the-tests")
    monkeypatch.setenv("NO_PROXY", "*")
    return lambda way: Run(tmp_path / "memory.db", way)


def assert_answered(end: Any) -> None:
    assert isinstance(end, Reflection), end
    assert end.action == "give_up"


def cases(table: Mapping[str, tuple[tuple[Way, ...], Callable[[Way], Answer]]]) -> Any:
    """A test for each fault and each way in which it can come."""
    return pytest.mark.parametrize(
        ("way", "answer"),
        [
            pytest.param(way, make(way), id=f"{name}-{way.name}")
            for name, (ways, make) in table.items()
            for way in ways
        ],
    )


@every_way
def test_a_good_answer_is_paid_once_whoever_asks_again(
    way: Way, begin: Callable[[Way], Run]
) -> None:
    run = begin(way)
    for script, requests in (((way.says(GOOD),), 1), ((), 0)):
        end, sent = run.decide(*script)
        assert_answered(end)
        assert (sent, run.statuses()) == (requests, ["parsed"])
        paid = run.paid()
        assert (paid.calls, paid.tokens, paid.exact) == (1, READ[way.api], True)


@every_way
@pytest.mark.parametrize("status", [429, 503, 529])
def test_twice_too_busy_and_then_good_is_one_call(
    way: Way, status: int, begin: Callable[[Way], Run]
) -> None:
    run = begin(way)
    end, sent = run.decide(way.fails(status), way.fails(status), way.says(GOOD))
    assert_answered(end)
    assert (sent, run.statuses()) == (3, ["parsed"])
    assert (run.paid().calls, run.paid().tokens) == (1, READ[way.api])


@every_way
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 418, 422, 501])
def test_what_is_turned_down_was_not_paid_and_is_asked_again(
    way: Way, status: int, begin: Callable[[Way], Run]
) -> None:
    run = begin(way)
    end, sent = run.decide(way.fails(status))
    assert isinstance(end, CallRefused), end
    assert (sent, run.statuses(), run.paid()) == (1, ["refused"], Paid())
    end, sent = run.decide(way.says(GOOD))
    assert_answered(end)
    assert (sent, run.statuses(), run.paid().calls) == (1, ["parsed"], 1)


@every_way
def test_nobody_there_was_not_paid_and_is_asked_again(
    way: Way, begin: Callable[[Way], Run], waited: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(way)
    with monkeypatch.context() as patch:
        # A port that nobody listens at any more.
        with LoopbackServer(in_turn()) as gone:
            pass
        patch.setattr(Way, "model", lambda self, _, model=Way.model: model(self, gone.url))
        end, _ = run.decide()
    assert isinstance(end, CallRefused), end
    assert (run.statuses(), run.paid()) == (["refused"], Paid())
    assert waited and waited == sorted(waited)
    end, sent = run.decide(way.says(GOOD))
    assert_answered(end)
    assert (sent, run.statuses()) == (1, ["parsed"])


SSE_ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "too busy"}}
EVENTS = messages.events(GOOD)
LOST: dict[str, tuple[tuple[Way, ...], Callable[[Way], Answer]]] = {
    **{f"{status}": (WAYS, lambda way, s=status: way.fails(s)) for status in (408, 500, 502, 504)},
    "hang-up": (WAYS, lambda way: faults.HANG_UP),
    "slow-body": (WAYS, lambda way: faults.slow(way.says(GOOD))),
    "cut-body": (WAYS, lambda way: faults.cut(way.says(GOOD))),
    "sse-error": ((STREAM,), lambda way: messages.streamed([*EVENTS[:4], SSE_ERROR])),
    "sse-error-at-once": ((STREAM,), lambda way: messages.streamed([SSE_ERROR])),
    "sse-cut": ((STREAM,), lambda way: messages.streamed(EVENTS[:5])),
    "sse-cut-within-an-event": ((STREAM,), lambda way: faults.truncated(way.says(GOOD))),
    "sse-of-nothing": ((STREAM,), lambda way: messages.streamed([])),
}


@cases(LOST)
def test_what_is_lost_counts_as_paid_and_is_asked_again_only_when_told(
    way: Way, answer: Answer, begin: Callable[[Way], Run]
) -> None:
    """One request, although another good answer would be waiting."""
    run = begin(way)
    for script in ((answer, way.says(GOOD)), ()):
        end, sent = run.decide(*script)
        assert isinstance(end, CallInDoubt), end
        assert (sent, run.statuses()) == (len(script) and 1, ["sent"])
        assert_counts_at_its_most(run)
    assert_paid_again_when_told(run, way, ["sent", "parsed"])


UNREADABLE: dict[str, tuple[tuple[Way, ...], Callable[[Way], Answer]]] = {
    "web-page": (WAYS, lambda way: faults.WEB_PAGE),
    "wrong-json": (WAYS, lambda way: faults.OTHER_JSON),
    "json-null": (WAYS, lambda way: faults.JSON_NULL),
    "empty-body": (WAYS, lambda way: faults.NOTHING),
    "truncated-json": ((CLAUDE, OPENAI), lambda way: faults.truncated(way.says(GOOD))),
    "error-with-200": (WAYS, lambda way: replace(way.fails(400), status=200)),
}


@cases(UNREADABLE)
def test_what_is_no_reply_counts_as_paid_and_is_asked_again_only_when_told(
    way: Way, answer: Answer, begin: Callable[[Way], Run]
) -> None:
    run = begin(way)
    for script in ((answer, way.says(GOOD)), ()):
        end, sent = run.decide(*script)
        assert isinstance(end, CallInDoubt), end
        assert "check the base URL" in str(end) and run.id in str(end)
        assert (sent, run.statuses()) == (len(script) and 1, ["committed"])
        assert_counts_at_its_most(run)
    assert run.entries()[0].response == answer.body
    assert_paid_again_when_told(run, way, ["committed", "parsed"])


def assert_counts_at_its_most(run: Run) -> None:
    [entry] = run.entries()
    paid = run.paid()
    assert (paid.calls, paid.tokens, paid.cost) == (1, entry.expected.tokens, entry.expected.cost)
    assert paid.tokens > 100 and not paid.exact


def assert_paid_again_when_told(run: Run, way: Way, statuses: list[str]) -> None:
    [before] = run.entries()
    end, sent = run.decide(way.says(GOOD), on_ambiguous="retry")
    assert_answered(end)
    assert (sent, run.statuses()) == (1, statuses)
    assert [entry.attempt for entry in run.entries()] == [1, 2]
    assert (run.paid().calls, run.paid().tokens) == (2, before.expected.tokens + READ[way.api])
    # From then on it is on record, whatever is told.
    end, sent = run.decide()
    assert_answered(end)
    assert (sent, run.statuses()) == (0, statuses)


@every_way
@pytest.mark.parametrize("bad", ["500", "hang-up", "web-page"])
def test_under_retry_every_attempt_is_on_record_as_one_of_its_own(
    way: Way, bad: str, begin: Callable[[Way], Run]
) -> None:
    run = begin(way)
    answer = (LOST | UNREADABLE)[bad][1](way)
    end, sent = run.decide(answer, answer, way.says(GOOD), on_ambiguous="retry")
    assert_answered(end)
    assert (sent, run.paid().calls) == (3, 3)
    assert run.statuses() == ["committed" if bad == "web-page" else "sent"] * 2 + ["parsed"]


@every_way
@pytest.mark.parametrize("bad", ["500", "hang-up", "web-page"])
def test_asking_again_has_an_end(way: Way, bad: str, begin: Callable[[Way], Run]) -> None:
    run = begin(way)
    answer = (LOST | UNREADABLE)[bad][1](way)
    end, sent = run.decide(*[answer] * 99, on_ambiguous="retry")
    assert isinstance(end, CallInDoubt), end
    assert sent == run.paid().calls == 3


NO = "I would rather not."
_FILTERED = {"finish_reason": "content_filter"}
_TOOL = {"type": "tool_use", "id": "t", "name": "answer", "input": GOOD}
_CALLED = {"id": "t", "type": "function", "function": {"name": "answer", "arguments": GOOD}}
ENDED: dict[str, tuple[tuple[Way, ...], Callable[[Way], Answer]]] = {
    "refusal": ((CLAUDE, STREAM), lambda way: way.says(NO, stop_reason="refusal")),
    "refusal-without-text": ((CLAUDE, STREAM), lambda way: way.says(None, stop_reason="refusal")),
    "refusal-openai": ((OPENAI,), lambda way: way.says(None, more={"refusal": NO})),
    "refusal-without-text-openai": ((OPENAI,), lambda way: way.says(None, **_FILTERED)),
    "max-tokens": ((CLAUDE, STREAM), lambda way: way.says('{"act', stop_reason="max_tokens")),
    "max-tokens-openai": ((OPENAI,), lambda way: way.says('{"act', finish_reason="length")),
    "empty": (WAYS, lambda way: way.says(None)),
    "blank": (WAYS, lambda way: way.says(" \n")),
    "no-choices": ((OPENAI,), lambda way: way.says(None, choices=[])),
}


@cases(ENDED)
def test_what_a_model_does_not_answer_is_an_end_that_was_paid_once(
    way: Way, answer: Answer, begin: Callable[[Way], Run]
) -> None:
    run = begin(way)
    for script in ((answer, way.says(GOOD)), ()):
        end, sent = run.decide(*script)
        assert isinstance(end, Declined), end
        assert (sent, run.statuses()) == (len(script) and 1, ["committed"])
        assert (run.paid().calls, run.paid().tokens) == (1, READ[way.api])


REPAIRED: dict[str, tuple[tuple[Way, ...], Callable[[Way], Answer]]] = {
    "prose": (WAYS, lambda way: way.says(NO)),
    "another-type": (WAYS, lambda way: way.says('{"action": "dance"}')),
    "cut-answer": (WAYS, lambda way: way.says(GOOD[:20])),
    "tool-input-as-a-string": (
        (CLAUDE,),
        lambda way: way.says(None, content=[_TOOL], stop_reason="tool_use"),
    ),
    "tool-arguments-as-a-string": (
        (OPENAI,),
        lambda way: way.says(None, more={"tool_calls": [_CALLED]}, finish_reason="tool_calls"),
    ),
    "unknown-end": ((CLAUDE, STREAM), lambda way: way.says(None, stop_reason="something_new")),
}


@cases(REPAIRED)
def test_what_cannot_be_used_is_repaired_once_and_both_are_paid_once(
    way: Way, answer: Answer, begin: Callable[[Way], Run]
) -> None:
    run = begin(way)
    for script in ((answer, way.says(GOOD)), ()):
        end, sent = run.decide(*script)
        assert_answered(end)
        assert (sent, run.statuses()) == (len(script), ["committed", "parsed"])
        assert (run.paid().calls, run.paid().tokens) == (2, 2 * READ[way.api])
        for body in run.bodies:
            assert all(turn["content"].strip() for turn in body["messages"])
            roles = [turn["role"] for turn in body["messages"] if turn["role"] != "system"]
            assert all(one != other for one, other in pairwise(roles))


UNKNOWN: dict[str, tuple[tuple[Way, ...], Callable[[Way], Answer]]] = {
    "unknown-blocks": (
        (CLAUDE,),
        lambda way: way.says(
            None, content=[{"type": "hologram", "depth": 3}, {"type": "text", "text": GOOD}]
        ),
    ),
    "unknown-events": (
        (STREAM,),
        lambda way: messages.streamed([EVENTS[0], {"type": "weather"}, *EVENTS[1:]]),
    ),
    "unknown-parts": (
        (OPENAI,),
        lambda way: way.says(
            None,
            more={"content": [{"type": "hologram"}, {"type": "text", "text": GOOD}]},
            weather="fine",
        ),
    ),
}


@cases(UNKNOWN)
def test_what_is_new_is_no_fault(way: Way, answer: Answer, begin: Callable[[Way], Run]) -> None:
    run = begin(way)
    end, sent = run.decide(answer)
    assert_answered(end)
    assert (sent, run.statuses(), run.paid().tokens) == (1, ["parsed"], READ[way.api])
