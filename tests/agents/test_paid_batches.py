"""Calls handed in together: paid once, fetched again after a crash, and settled one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from selfsteer.agents.budget import Budget, OutOfBudget
from selfsteer.agents.models.chat_model import Ask
from selfsteer.agents.models.errors import CallAmbiguous, CallRefused
from selfsteer.agents.paid_batches import MANY, BatchedCalls
from selfsteer.agents.paid_calls import CallInDoubt
from selfsteer.memory.store import Memory
from tests.agents.paid_doubles import FakeModel, price, question

ASKS = [question(f"Question {i}?") for i in range(MANY)]


class Desk(FakeModel):
    """Takes batches, and answers each request with the words that it asked.

    Attributes:
        batches: the requests of each batch, by its id.
        lost: errors to raise, one at each step that is named: "start", "finish".
        poor: what comes instead of some answers, by place.
    """

    def __init__(self, **lost: Exception) -> None:
        super().__init__()
        self.batches: dict[str, list[Mapping[str, Any]]] = {}
        self.lost = lost
        self.poor: dict[int, Any] = {}

    def start_batch(self, requests: Sequence[Mapping[str, Any]]) -> str:
        if "start" in self.lost:
            raise self.lost.pop("start")
        name = f"batch-{len(self.batches)}"
        self.batches[name] = list(requests)
        return name

    def finish_batch(self, batch_id: str, count: int) -> list[Any]:
        if "finish" in self.lost:
            raise self.lost.pop("finish")
        requests = self.batches[batch_id]
        assert len(requests) == count
        bodies = [
            json.dumps({"text": request["messages"][0]["content"], "tokens": 10})
            for request in requests
        ]
        return [self.poor.get(place, body) for place, body in enumerate(bodies)]

    send_batch = finish_batch


@pytest.fixture
def run_id(memory: Memory) -> str:
    return memory.runs.start(
        "goal", student="s", fingerprint="f", controller="paid", seed=0, settings={}
    ).id


def calls(memory: Memory, run_id: str, desk: Desk, **changes: Any) -> BatchedCalls:
    wanted: dict[str, Any] = {"budget": Budget(), "price": price} | changes
    return BatchedCalls(memory.ledger, run_id, model=desk, **wanted)


def replies(paid: BatchedCalls, asks: Sequence[Ask] = ASKS) -> list[str]:
    paid.prefetch("judge", "judge", asks)
    return [paid.ask("judge", "judge", ask).text for ask in asks]


def words(asks: Sequence[Ask] = ASKS) -> list[str]:
    return [ask.messages[0].content for ask in asks]


def test_many_calls_go_out_together_and_once(memory: Memory, run_id: str) -> None:
    desk = Desk()
    for _ in range(2):
        assert replies(calls(memory, run_id, desk), [*ASKS, *ASKS]) == words() * 2
    assert [len(batch) for batch in desk.batches.values()] == [MANY]
    assert desk.sent == []
    assert memory.ledger.paid(run_id).calls == MANY


def test_a_few_calls_are_not_worth_a_batch(memory: Memory, run_id: str) -> None:
    desk = Desk()
    replies(calls(memory, run_id, desk), ASKS[:-1])
    assert (desk.batches, len(desk.sent)) == ({}, MANY - 1)


def test_the_ledger_knows_the_calls_before_they_leave(memory: Memory, run_id: str) -> None:
    class Watching(Desk):
        def start_batch(self, requests: Sequence[Mapping[str, Any]]) -> str:
            entries = memory.ledger.entries(run_id)
            assert [entry.status for entry in entries] == ["sent"] * MANY
            return super().start_batch(requests)

    assert replies(calls(memory, run_id, Watching())) == words()


def test_after_a_crash_the_answers_are_fetched_not_paid_again(memory: Memory, run_id: str) -> None:
    desk = Desk(finish=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        replies(calls(memory, run_id, desk))
    # In another order, and with more to ask than before.
    more = [*reversed(ASKS), question("One more?")]
    assert replies(calls(memory, run_id, desk), more)[:-1] == words()[::-1]
    assert len(desk.batches) == 1
    assert len(desk.sent) == 1


def test_a_batch_that_nobody_knows_of_is_in_doubt(memory: Memory, run_id: str) -> None:
    desk = Desk(start=CallAmbiguous("It hung up."))
    with pytest.raises(CallInDoubt):
        replies(calls(memory, run_id, desk))
    assert replies(calls(memory, run_id, desk, on_ambiguous="retry")) == ["yes"] * MANY


def test_a_server_without_batches_is_asked_one_by_one(memory: Memory, run_id: str) -> None:
    desk = Desk(start=CallRefused("Not found."))
    assert replies(calls(memory, run_id, desk)) == ["yes"] * MANY
    assert memory.ledger.paid(run_id).calls == MANY


def test_what_a_batch_left_unanswered_is_asked_by_itself(memory: Memory, run_id: str) -> None:
    desk = Desk()
    desk.poor = {1: CallRefused("It expired.")}
    assert replies(calls(memory, run_id, desk)) == [words()[0], "yes", *words()[2:]]
    assert len(desk.sent) == 1


def test_what_a_batch_lost_is_in_doubt(memory: Memory, run_id: str) -> None:
    desk = Desk()
    desk.poor = {3: CallAmbiguous("It is missing.")}
    with pytest.raises(CallInDoubt):
        replies(calls(memory, run_id, desk))


def test_nothing_is_handed_in_that_might_pass_a_limit(memory: Memory, run_id: str) -> None:
    desk = Desk()
    with pytest.raises(OutOfBudget, match="controller calls"):
        replies(calls(memory, run_id, desk, budget=Budget(controller_calls=MANY - 1)))
    assert desk.batches == {}
    assert memory.ledger.entries(run_id) == []
