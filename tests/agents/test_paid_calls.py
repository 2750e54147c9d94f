"""Every paid call is paid at most once, within the budget, and what is in doubt is said so."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from selfsteer.agents.budget import Budget, OutOfBudget
from selfsteer.agents.clock import Clock
from selfsteer.agents.models import prices, waits
from selfsteer.agents.models.chat_model import Reply, Usage
from selfsteer.agents.models.errors import CallAmbiguous, CallRefused, UnreadableReply
from selfsteer.agents.paid_calls import (
    MOST_TRIES,
    CallInDoubt,
    PaidCalls,
    last_look,
    spent_on_calls,
)
from selfsteer.errors import BudgetError
from selfsteer.memory.ledger import Ledger
from selfsteer.memory.store import Memory
from tests.agents.paid_doubles import PAGE, PRICE, FakeModel, price, question


@pytest.fixture
def run_id(memory: Memory) -> str:
    return memory.runs.start(
        "goal", student="s", fingerprint="f", controller="paid", seed=0, settings={}
    ).id


def calls(memory: Memory, run_id: str, model: FakeModel, **changes: Any) -> PaidCalls:
    wanted: dict[str, Any] = {"budget": Budget(), "price": price} | changes
    return PaidCalls(memory.ledger, run_id, model=model, **wanted)


def statuses(memory: Memory, run_id: str) -> list[str]:
    return [entry.status for entry in memory.ledger.entries(run_id)]


def test_a_reply_is_paid_once_and_replayed_ever_after(memory: Memory, run_id: str) -> None:
    model = FakeModel("first", "second")
    for _ in range(3):
        paid = calls(memory, run_id, model)
        assert paid.ask("propose/0", "propose", question()).text == "first"
        paid.parsed("propose/0", "propose", question())
    assert len(model.sent) == 1
    assert paid.ask("propose/1", "propose", question()).text == "second"
    assert statuses(memory, run_id) == ["parsed", "committed"]
    spent = spent_on_calls(memory.ledger.paid(run_id))
    assert (spent.controller_calls, spent.controller_tokens) == (2, 40)
    assert spent.money == pytest.approx(40 * PRICE)


def test_the_ledger_knows_the_call_before_it_leaves(memory: Memory, run_id: str) -> None:
    seen: list[list[str]] = []

    class Watching(FakeModel):
        def send(self, request: Any) -> str:
            seen.append(statuses(memory, run_id))
            return super().send(request)

        def read(self, body: str) -> Any:
            seen.append(statuses(memory, run_id))
            return super().read(body)

    calls(memory, run_id, Watching()).ask("reflect/0", "reflect", question())
    assert seen == [["sent"], ["committed"]]


def test_a_reply_that_cannot_be_read_stays_on_record_at_its_most(
    memory: Memory, run_id: str
) -> None:
    model = FakeModel(PAGE, "yes")
    for _ in range(2):
        with pytest.raises(CallInDoubt, match=r"a web page.*counts as paid.*retry") as raised:
            calls(memory, run_id, model).ask("reflect/0", "reflect", question())
        assert isinstance(raised.value.__cause__, UnreadableReply)
    assert len(model.sent) == 1
    [entry] = memory.ledger.entries(run_id)
    assert (entry.status, entry.usage) == ("committed", None)
    assert memory.ledger.paid(run_id).tokens == entry.expected.tokens > 50


def test_a_reply_that_cannot_be_read_is_asked_for_again_when_told(
    memory: Memory, run_id: str
) -> None:
    model = FakeModel(PAGE, "yes")
    retrying = calls(memory, run_id, model, on_ambiguous="retry")
    assert retrying.ask("reflect/0", "reflect", question()).text == "yes"
    retrying.parsed("reflect/0", "reflect", question())
    # From then on it is the reply that is read, whatever was told.
    assert calls(memory, run_id, model).ask("reflect/0", "reflect", question()).text == "yes"
    entries = memory.ledger.entries(run_id)
    assert [(e.attempt, e.status) for e in entries] == [(1, "committed"), (2, "parsed")]
    assert memory.ledger.paid(run_id).tokens == entries[0].expected.tokens + 20


def test_a_wrong_address_does_not_cost_without_end(memory: Memory, run_id: str) -> None:
    model = FakeModel(*[PAGE] * 99)
    with pytest.raises(CallInDoubt, match="check the base URL"):
        calls(memory, run_id, model, on_ambiguous="retry").ask("judge", "judge", question())
    assert len(model.sent) == MOST_TRIES


def test_what_no_server_counted_counts_at_its_most(memory: Memory, run_id: str) -> None:
    calls(memory, run_id, FakeModel(tokens=0)).ask("reflect/0", "reflect", question())
    [entry] = memory.ledger.entries(run_id)
    assert entry.usage is None
    assert memory.ledger.paid(run_id).tokens == entry.expected.tokens > 50


def test_what_was_refused_is_sent_again_and_was_not_paid(memory: Memory, run_id: str) -> None:
    model = FakeModel(CallRefused("No key."), "yes")
    paid = calls(memory, run_id, model, budget=Budget(controller_calls=1))
    with pytest.raises(CallRefused, match="No key"):
        paid.ask("propose/0", "propose", question())
    assert statuses(memory, run_id) == ["refused"]
    assert memory.ledger.paid(run_id).calls == 0
    assert paid.ask("propose/0", "propose", question()).text == "yes"
    assert statuses(memory, run_id) == ["committed"]


def test_what_is_refused_for_now_is_repeated_and_paid_once(
    memory: Memory, run_id: str, waited: list[float]
) -> None:
    busy = CallRefused("Too busy.", passing=True, wait=7.0)
    model = FakeModel(busy, CallRefused("Nobody there.", passing=True), "yes")
    paid = calls(memory, run_id, model, budget=Budget(controller_calls=1))
    assert paid.ask("propose/0", "propose", question()).text == "yes"
    assert (len(model.sent), len(waited), waited[0]) == (3, 2, 7.0)
    assert statuses(memory, run_id) == ["committed"]
    assert memory.ledger.paid(run_id).calls == 1


def test_who_waits_to_repeat_is_in_no_doubt(
    memory: Memory, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is stopped while it waits has nothing that may have been paid."""

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(waits, "pause", stopped)
    model = FakeModel(CallRefused("Too busy.", passing=True), "yes")
    with pytest.raises(KeyboardInterrupt):
        calls(memory, run_id, model).ask("propose/0", "propose", question())
    assert statuses(memory, run_id) == ["refused"]
    assert calls(memory, run_id, model).ask("propose/0", "propose", question()).text == "yes"


@pytest.mark.parametrize(("wait", "sent"), [(waits.LONGEST + 1, 1), (0.0, waits.MOST_REPEATS + 1)])
def test_repeating_has_an_end(memory: Memory, run_id: str, wait: float, sent: int) -> None:
    model = FakeModel(*[CallRefused("Too busy.", passing=True, wait=wait)] * 99)
    with pytest.raises(CallRefused, match="Too busy"):
        calls(memory, run_id, model).ask("propose/0", "propose", question())
    assert len(model.sent) == sent
    assert statuses(memory, run_id) == ["refused"]


def test_a_call_in_doubt_is_asked_again_only_when_told(memory: Memory, run_id: str) -> None:
    model = FakeModel(CallAmbiguous("It hung up."), "yes")
    asking = calls(memory, run_id, model)
    with pytest.raises(CallInDoubt, match=f"resume {run_id} --on-ambiguous retry") as raised:
        asking.ask("choose/0", "choose", question())
    assert isinstance(raised.value.__cause__, CallAmbiguous)
    with pytest.raises(CallInDoubt):
        asking.ask("choose/0", "choose", question())
    assert len(model.sent) == 1
    retrying = calls(memory, run_id, model, on_ambiguous="retry")
    assert retrying.ask("choose/0", "choose", question()).text == "yes"
    retrying.parsed("choose/0", "choose", question())
    assert asking.ask("choose/0", "choose", question()).text == "yes"
    entries = memory.ledger.entries(run_id)
    assert [(entry.attempt, entry.status) for entry in entries] == [(1, "sent"), (2, "parsed")]
    # The one in doubt counts at its most.
    paid = memory.ledger.paid(run_id)
    assert (paid.calls, paid.tokens) == (2, entries[0].expected.tokens + 20)


def test_asking_again_has_an_end(memory: Memory, run_id: str) -> None:
    model = FakeModel(*[CallAmbiguous("It hung up.")] * 9)
    with pytest.raises(CallInDoubt):
        calls(memory, run_id, model, on_ambiguous="retry").ask("judge", "judge", question())
    assert len(model.sent) == MOST_TRIES


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"controller_calls": 2}, "budget of 2 controller calls"),
        ({"controller_tokens": 150}, "budget of 150 controller tokens"),
        ({"money": 0.15}, "budget of 0.15 dollars"),
    ],
)
def test_no_call_goes_past_a_limit(
    memory: Memory, run_id: str, limit: dict[str, float], words: str
) -> None:
    model = FakeModel()
    paid = calls(memory, run_id, model, budget=Budget.model_validate(limit))
    with pytest.raises(OutOfBudget, match=words):
        for number in range(9):
            paid.ask(f"judge/{number}", "judge", question())
    sent = len(model.sent)
    assert sent == len(memory.ledger.entries(run_id)) > 0
    # What is on record costs nothing more.
    assert paid.ask("judge/0", "judge", question()).text == "yes"
    # Another process knows what was spent.
    with pytest.raises(OutOfBudget):
        calls(memory, run_id, model, budget=Budget.model_validate(limit)).ask(
            "judge/9", "judge", question()
        )
    assert len(model.sent) == sent


def test_a_search_leaves_calls_for_the_last_look(memory: Memory, run_id: str) -> None:
    model = FakeModel()
    paid = calls(memory, run_id, model, budget=Budget(controller_calls=16))
    with pytest.raises(OutOfBudget, match="budget of 16 controller calls"):
        for number in range(99):
            paid.ask(f"judge/{number}", "judge", question())
    assert len(model.sent) == 14
    with last_look(), pytest.raises(OutOfBudget, match="budget of 16 controller calls"):
        for number in range(99):
            paid.ask(f"confirm/{number}", "judge", question())
    assert len(model.sent) == 16


def test_a_long_reply_that_might_go_past_a_limit_is_not_asked_for(
    memory: Memory, run_id: str
) -> None:
    model = FakeModel()
    paid = calls(memory, run_id, model, budget=Budget(controller_tokens=500))
    with pytest.raises(OutOfBudget, match="no room"):
        paid.ask("propose/0", "propose", question(max_tokens=500))
    assert (model.sent, memory.ledger.entries(run_id)) == ([], [])


def test_what_a_part_of_the_price_is_missing_of_counts_towards_a_limit(
    memory: Memory, run_id: str
) -> None:
    class Cached(FakeModel):
        def read(self, body: str) -> Reply:
            usage = Usage(output_tokens=100_000, cache_read_tokens=400_000)
            return Reply(text="yes", stop="end", usage=usage, model=self.name)

    table = {"model": prices.Price(input=1.0, output=5.0)}
    price = partial(prices.cost, model="model", table=table)
    model = Cached()
    paid = calls(memory, run_id, model, price=price, budget=Budget(money=1.7))
    with last_look(), pytest.raises(OutOfBudget, match=r"1\.7 dollars"):
        for number in range(9):
            paid.ask(f"judge/{number}", "judge", question())
    # 0.5 dollars for what was written, and at most 0.4 for what was read from the cache.
    assert len(model.sent) == 2
    spent = memory.ledger.paid(run_id)
    assert (spent.cost, spent.exact) == (pytest.approx(1.8), False)


def test_minutes_are_looked_at_before_a_call_but_not_at_the_last_look(
    memory: Memory, run_id: str
) -> None:
    paid = calls(memory, run_id, FakeModel(), budget=Budget(minutes=5), clock=Clock(before=6))
    with pytest.raises(OutOfBudget, match="budget of 5 minutes"):
        paid.ask("judge", "judge", question())
    with last_look():
        assert paid.ask("judge", "judge", question()).text == "yes"


def test_money_cannot_be_kept_at_an_unknown_price(memory: Memory, run_id: str) -> None:
    def unknown(usage: object, *, batched: bool = False) -> None:
        return None

    with pytest.raises(BudgetError, match="prices of fake/model are not known"):
        calls(memory, run_id, FakeModel(), price=unknown, budget=Budget(money=1))
    paid = calls(memory, run_id, FakeModel(), price=unknown)
    assert paid.ask("propose/0", "propose", question()).text == "yes"
    assert memory.ledger.paid(run_id).cost is None


@pytest.mark.parametrize("method", ["commit", "charge"])
def test_a_process_that_dies_leaves_what_was_paid(
    memory: Memory, run_id: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the reply is on record the call is in doubt; from then on it is replayed."""

    class Killed(BaseException):
        """Stands for a kill: nothing after it runs."""

    def killed(*_: object) -> None:
        raise Killed

    model = FakeModel("first", "second")
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, method, killed)
        with pytest.raises(Killed):
            calls(memory, run_id, model).ask("propose/0", "propose", question())
    again = calls(memory, run_id, model, on_ambiguous="retry")
    text = again.ask("propose/0", "propose", question()).text
    assert (text, len(model.sent)) == (("second", 2) if method == "commit" else ("first", 1))
