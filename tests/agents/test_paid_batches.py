"""Calls handed in together: paid once, fetched again after a crash, and settled one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langgraph.runtime import RunControl

from selfsteer.agents.budget import Budget, OutOfBudget
from selfsteer.agents.clock import Clock, StopAsked
from selfsteer.agents.models.chat_model import Ask, do_nothing
from selfsteer.agents.models.errors import BatchGone, CallAmbiguous, CallRefused
from selfsteer.agents.paid_batches import MANY, BatchedCalls
from selfsteer.agents.paid_calls import CallInDoubt, last_look
from selfsteer.memory.ledger import Ledger
from selfsteer.memory.records import LedgerEntry
from selfsteer.memory.store import Memory
from tests.agents.paid_doubles import PAGE, PRICE, FakeModel, price, question

ASKS = [question(f"Question {i}?") for i in range(MANY)]


class Desk(FakeModel):
    """Takes batches, and answers each request with the words that it asked.

    Attributes:
        batches: the requests of each batch, by its id.
        marks: the id of each batch, by its mark.
        lost: what to raise, once at each step that is named: "start", "name", when a batch was
            accepted, "find" and "finish".
        poor: what comes instead of some answers, by the place of the question in `ASKS`.
        looks: how often a batch is looked at in vain.
    """

    def __init__(self, **lost: BaseException) -> None:
        super().__init__()
        self.batches: dict[str, list[Mapping[str, Any]]] = {}
        self.marks: dict[str, str] = {}
        self.lost = lost
        self.poor: dict[int, Any] = {}
        self.looks = 1

    def start_batch(self, requests: Sequence[Mapping[str, Any]], mark: str) -> str:
        if "start" in self.lost:
            raise self.lost.pop("start")
        name = self.marks[mark] = f"batch-{len(self.batches)}"
        self.batches[name] = list(requests)
        if "name" in self.lost:
            raise self.lost.pop("name")
        return name

    def find_batch(
        self, mark: str, count: int, since: datetime, between: Callable[[], None] = do_nothing
    ) -> str | None:
        between()
        if "find" in self.lost:
            raise self.lost.pop("find")
        found = self.marks.get(mark)
        assert found is None or len(self.batches[found]) == count
        assert abs(since - datetime.now(UTC)) < timedelta(minutes=5)
        return found

    def finish_batch(
        self, batch_id: str, count: int, between: Callable[[], None] = do_nothing
    ) -> list[Any]:
        for _ in range(self.looks):
            between()
        if "finish" in self.lost:
            raise self.lost.pop("finish")
        requests = self.batches[batch_id]
        assert len(requests) == count
        bodies = [
            json.dumps({"text": request["messages"][0]["content"], "tokens": 10})
            for request in requests
        ]
        # By the words that were asked, because calls are handed in by the order of their keys.
        asked = [request["messages"][0]["content"] for request in requests]
        return [
            self.poor.get(words().index(one) if one in words() else -1, body)
            for one, body in zip(asked, bodies, strict=True)
        ]


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


def entries(memory: Memory, run_id: str) -> list[LedgerEntry]:
    return memory.ledger.entries(run_id)


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
        def start_batch(self, requests: Sequence[Mapping[str, Any]], mark: str) -> str:
            entries = memory.ledger.entries(run_id)
            assert [entry.status for entry in entries] == ["sent"] * MANY
            return super().start_batch(requests, mark)

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


@pytest.mark.parametrize("end", [CallAmbiguous("It hung up."), KeyboardInterrupt()])
def test_a_batch_whose_name_was_lost_is_found_by_its_mark(
    memory: Memory, run_id: str, end: BaseException
) -> None:
    """At once, or by the process that comes after; in another order, and with more to ask."""
    desk = Desk(name=end)
    if isinstance(end, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            replies(calls(memory, run_id, desk))
    more = [question("One more?"), *reversed(ASKS)]
    assert replies(calls(memory, run_id, desk), more)[1:] == words()[::-1]
    assert {entry.status for entry in entries(memory, run_id)} == {"committed"}
    handed_in = sum(len(requests) for requests in desk.batches.values())
    assert (len(desk.batches), handed_in + len(desk.sent)) == (1, MANY + 1)


@pytest.mark.parametrize("on_ambiguous", ["ask", "retry"])
def test_a_provider_that_cannot_be_asked_for_a_batch_is_asked_again_and_nothing_is_paid_twice(
    memory: Memory, run_id: str, on_ambiguous: str
) -> None:
    desk = Desk(name=CallAmbiguous("It hung up."))
    for _ in range(2):
        desk.lost["find"] = CallAmbiguous("It does not say.")
        with pytest.raises(CallInDoubt, match=f"not say; `selfsteer resume {run_id}` looks"):
            replies(calls(memory, run_id, desk, on_ambiguous=on_ambiguous))
    assert replies(calls(memory, run_id, desk, on_ambiguous=on_ambiguous)) == words()
    assert (len(desk.batches), desk.sent) == (1, [])
    assert memory.ledger.paid(run_id).calls == MANY


def test_a_batch_that_is_not_of_these_calls_is_not_taken(memory: Memory, run_id: str) -> None:
    desk = Desk(name=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        replies(calls(memory, run_id, desk))
    with pytest.raises(CallInDoubt):
        calls(memory, run_id, desk).ask("judge", "judge", ASKS[0])
    calls(memory, run_id, desk, on_ambiguous="retry").ask("judge", "judge", ASKS[0])
    # One call less is lost now, so nobody can say which batch these were in.
    with pytest.raises(CallInDoubt):
        replies(calls(memory, run_id, desk))
    assert len(desk.batches) == 1


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


def test_a_batch_costs_what_batches_cost(memory: Memory, run_id: str) -> None:
    replies(calls(memory, run_id, Desk()))
    paid = memory.ledger.paid(run_id)
    assert (paid.cost, paid.exact) == (pytest.approx(MANY * 20 * PRICE / 2), True)
    assert all(e.expected.cost == e.expected.tokens * PRICE / 2 for e in entries(memory, run_id))


def test_a_batch_that_is_busy_is_handed_in_again(
    memory: Memory, run_id: str, waited: list[float]
) -> None:
    desk = Desk(start=CallRefused("Too busy.", passing=True, wait=3.0))
    assert replies(calls(memory, run_id, desk)) == words()
    assert (waited, len(desk.batches), desk.sent) == ([3.0], 1, [])


def test_a_batch_that_is_kept_back_is_fetched_by_the_next_process(
    memory: Memory, run_id: str
) -> None:
    """Whatever was told: its answers are there, and paid."""
    desk = Desk(finish=CallAmbiguous("It was accepted, but not given."))
    with pytest.raises(CallInDoubt, match=f"not given; `selfsteer resume {run_id}` fetches it"):
        replies(calls(memory, run_id, desk, on_ambiguous="retry"))
    assert replies(calls(memory, run_id, desk)) == words()
    assert (len(desk.batches), desk.sent) == (1, [])


def test_a_batch_that_is_gone_is_paid_again_when_told(memory: Memory, run_id: str) -> None:
    gone = BatchGone("It has no results any more.")
    desk = Desk(finish=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        replies(calls(memory, run_id, desk))
    for _ in range(2):
        desk.lost["finish"] = gone
        with pytest.raises(CallInDoubt, match=r"any more; .* --on-ambiguous retry` asks, and pays"):
            replies(calls(memory, run_id, desk))
    assert (len(desk.batches), desk.sent) == (1, [])
    desk.lost["finish"] = gone
    assert replies(calls(memory, run_id, desk, on_ambiguous="retry")) == words()
    assert [e.attempt for e in entries(memory, run_id)] == [1] * MANY + [2] * MANY
    assert (len(desk.batches), desk.sent) == (2, [])
    # What was paid again is what is read, whatever is told then.
    assert replies(calls(memory, run_id, desk)) == words()
    assert len(desk.batches) == 2


def test_what_a_batch_answered_with_no_reply_is_in_doubt(memory: Memory, run_id: str) -> None:
    desk = Desk()
    desk.poor = {2: PAGE}
    with pytest.raises(CallInDoubt, match="a web page"):
        replies(calls(memory, run_id, desk))
    assert replies(calls(memory, run_id, desk, on_ambiguous="retry"))[2] == "yes"
    assert (len(desk.batches), len(desk.sent)) == (1, 1)


def test_a_run_that_is_asked_to_stop_waits_no_longer(memory: Memory, run_id: str) -> None:
    control = RunControl()
    desk = Desk()
    paid = calls(memory, run_id, desk, clock=Clock(control=control))
    control.request_drain("SIGTERM")
    with pytest.raises(StopAsked):
        replies(paid)
    assert replies(calls(memory, run_id, desk)) == words()
    assert (len(desk.batches), desk.sent) == (1, [])


def test_a_wait_ends_with_the_minutes_of_the_run(
    memory: Memory, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is handed in while there is time, and waited for until there is none."""
    minutes = iter([0.0, 0.0, 3.0])
    monkeypatch.setattr(Clock, "minutes", lambda self: next(minutes, 6.0))
    desk = Desk()
    desk.looks = 9
    paid = calls(memory, run_id, desk, budget=Budget(minutes=5), clock=Clock())
    with pytest.raises(OutOfBudget, match="budget of 5 minutes"):
        replies(paid)
    assert len(desk.batches) == 1
    assert {e.status for e in entries(memory, run_id)} == {"sent"}


def test_the_last_look_waits_for_what_was_handed_in_and_hands_nothing_in_when_late(
    memory: Memory, run_id: str
) -> None:
    desk = Desk(finish=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        replies(calls(memory, run_id, desk))
    others = [question(f"Another {i}?") for i in range(MANY)]
    late = calls(memory, run_id, desk, budget=Budget(minutes=5), clock=Clock(before=6))
    with last_look():
        assert replies(late, [*ASKS, *others]) == words() + ["yes"] * MANY
    assert (len(desk.batches), len(desk.sent)) == (1, MANY)


class Killed(BaseException):
    """Stands for a kill: nothing after it runs."""


# Whose method, which, after it or before, and what becomes of the calls then.
KILLS: list[tuple[Any, str, bool, str]] = [
    (Ledger, "begin_together", False, "handed in once"),
    (Ledger, "begin_together", True, "in doubt"),
    (Desk, "start_batch", False, "in doubt"),
    (Desk, "start_batch", True, "handed in once"),
    (Ledger, "batched", False, "handed in once"),
    (Ledger, "batched", True, "handed in once"),
    (Desk, "finish_batch", False, "handed in once"),
    (Desk, "finish_batch", True, "handed in once"),
    (Ledger, "commit", False, "handed in once"),
    (Ledger, "commit", True, "handed in once"),
    (Ledger, "charge", False, "handed in once"),
    (Ledger, "charge", True, "handed in once"),
]


@pytest.mark.parametrize(("owner", "name", "late", "fate"), KILLS)
def test_kills_at_every_step_of_a_batch(
    memory: Memory,
    run_id: str,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    late: bool,
    fate: str,
) -> None:
    """What has an answer, or a batch to fetch it from, is never paid again."""
    desk, method = Desk(), getattr(owner, name)

    def struck(*arguments: Any) -> None:
        if late:
            method(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, struck)
        with pytest.raises(Killed):
            replies(calls(memory, run_id, desk))
    if fate == "in doubt":
        with pytest.raises(CallInDoubt):
            replies(calls(memory, run_id, desk))
        again = calls(memory, run_id, desk, on_ambiguous="retry")
        assert replies(again) == ["yes"] * MANY
        assert (len(desk.batches), len(desk.sent)) == (0, MANY)
    else:
        assert replies(calls(memory, run_id, desk)) == words()
        assert (len(desk.batches), desk.sent) == (1, [])
