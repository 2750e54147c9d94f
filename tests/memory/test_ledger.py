"""Paid calls are on record before they leave and before their replies are read."""

from __future__ import annotations

import sqlite3

import pytest

from selfsteer.errors import MemoryFileError
from selfsteer.memory import Charge, Memory, Paid, PaidCall, Run

MOST = Charge(tokens=100, cost=0.5)
REQUEST = {"model": "large", "messages": [{"role": "user", "content": "Propose."}]}


@pytest.fixture
def call(run: Run) -> PaidCall:
    return PaidCall(run_id=run.id, step="propose-1", role="propose", attempt=1, request=REQUEST)


def test_a_call_from_sent_to_parsed(memory: Memory, call: PaidCall) -> None:
    assert memory.ledger.replay(call) is None
    memory.ledger.begin(call, MOST)
    sent = memory.ledger.replay(call)
    assert sent is not None
    assert (sent.status, sent.response, sent.usage) == ("sent", None, None)
    memory.ledger.commit(call, "<html>not JSON")
    committed = memory.ledger.replay(call)
    assert committed is not None
    assert (committed.status, committed.response) == ("committed", "<html>not JSON")
    assert (committed.expected, committed.usage) == (MOST, None)
    memory.ledger.charge(call, Charge(tokens=7, cost=0.1))
    memory.ledger.parsed(call)
    memory.ledger.parsed(call)
    (entry,) = memory.ledger.entries(call.run_id)
    assert entry.status == "parsed"
    assert entry.request == REQUEST
    assert entry.usage == Charge(tokens=7, cost=0.1)
    assert entry.sent <= str(entry.committed) <= str(entry.parsed)


def test_a_call_is_not_sent_twice(memory: Memory, call: PaidCall) -> None:
    memory.ledger.begin(call, MOST)
    with pytest.raises(MemoryFileError, match="sent before"):
        memory.ledger.begin(call, MOST)
    memory.ledger.commit(call, "reply")
    with pytest.raises(MemoryFileError, match="sent before"):
        memory.ledger.begin(call, MOST)
    memory.ledger.begin(call.model_copy(update={"attempt": 2}), MOST)
    assert [entry.attempt for entry in memory.ledger.entries(call.run_id)] == [1, 2]


def test_steps_cannot_be_skipped_or_repeated(memory: Memory, call: PaidCall) -> None:
    with pytest.raises(MemoryFileError, match="not at this step"):
        memory.ledger.commit(call, "reply")
    memory.ledger.begin(call, MOST)
    with pytest.raises(MemoryFileError, match="not at this step"):
        memory.ledger.parsed(call)
    memory.ledger.commit(call, "reply")
    with pytest.raises(MemoryFileError, match="not at this step"):
        memory.ledger.commit(call, "another reply")
    entry = memory.ledger.replay(call)
    assert entry is not None and entry.response == "reply"


def test_the_order_of_keys_makes_no_other_request(call: PaidCall) -> None:
    turned = call.model_copy(update={"request": dict(reversed(REQUEST.items()))})
    assert turned.key == call.key


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "other"},
        {"step": "propose-2"},
        {"role": "judge"},
        {"attempt": 2},
        {"request": {**REQUEST, "model": "small"}},
    ],
)
def test_every_part_makes_another_call(call: PaidCall, change: dict[str, object]) -> None:
    assert call.model_copy(update=change).key != call.key


def test_parts_cannot_run_into_one_another(call: PaidCall) -> None:
    left = call.model_copy(update={"step": "a/b", "role": "c"})
    right = call.model_copy(update={"step": "a", "role": "b/c"})
    assert left.key != right.key


def test_a_reply_cannot_be_rewritten(memory: Memory, call: PaidCall) -> None:
    memory.ledger.begin(call, MOST)
    memory.ledger.commit(call, "reply")
    with (
        pytest.raises(sqlite3.IntegrityError, match="never rewritten"),
        memory._connection.write() as db,
    ):
        db.execute("UPDATE ledger SET response = 'cheaper'")
    memory.ledger.charge(call, MOST)
    with pytest.raises(MemoryFileError, match="not at this step"):
        memory.ledger.charge(call, Charge())
    with (
        pytest.raises(sqlite3.IntegrityError, match="never rewritten"),
        memory._connection.write() as db,
    ):
        db.execute("UPDATE ledger SET usage = '{}'")


def test_what_was_refused_was_not_paid_and_may_be_sent_again(
    memory: Memory, call: PaidCall
) -> None:
    memory.ledger.begin(call, MOST)
    memory.ledger.refused(call)
    assert memory.ledger.paid(call.run_id) == Paid()
    with pytest.raises(MemoryFileError, match="not at this step"):
        memory.ledger.commit(call, "reply")
    memory.ledger.begin(call, MOST)
    assert memory.ledger.paid(call.run_id).calls == 1
    memory.ledger.commit(call, "reply")
    with pytest.raises(MemoryFileError, match="not at this step"):
        memory.ledger.refused(call)
    assert [entry.status for entry in memory.ledger.entries(call.run_id)] == ["committed"]


def test_a_call_counts_at_its_most_until_its_cost_is_known(memory: Memory, call: PaidCall) -> None:
    second = call.model_copy(update={"attempt": 2})
    for each in (call, second):
        memory.ledger.begin(each, MOST)
    assert memory.ledger.paid(call.run_id) == Paid(calls=2, tokens=200, cost=1.0, exact=False)
    memory.ledger.commit(call, "reply")
    memory.ledger.charge(call, Charge(tokens=9, cost=0.25))
    assert memory.ledger.paid(call.run_id) == Paid(calls=2, tokens=109, cost=0.75, exact=False)
    assert memory.ledger.paid("another") == Paid()


def test_one_unknown_price_makes_the_sum_unknown(memory: Memory, call: PaidCall) -> None:
    memory.ledger.begin(call, MOST)
    memory.ledger.begin(call.model_copy(update={"attempt": 2}), Charge(tokens=1, cost=None))
    assert memory.ledger.paid(call.run_id) == Paid(calls=2, tokens=101, cost=None, exact=False)


def test_a_cost_that_nobody_knows_counts_at_its_most(memory: Memory, call: PaidCall) -> None:
    memory.ledger.begin(call, MOST)
    memory.ledger.commit(call, "reply")
    memory.ledger.charge(call, Charge(tokens=7, cost=None))
    assert memory.ledger.paid(call.run_id) == Paid(calls=1, tokens=7, cost=0.5, exact=False)


def test_a_cost_that_is_a_bound_makes_the_sum_one(memory: Memory, call: PaidCall) -> None:
    second = call.model_copy(update={"attempt": 2})
    for each, exact in ((call, True), (second, False)):
        assert memory.ledger.paid(call.run_id).exact
        memory.ledger.begin(each, MOST)
        memory.ledger.commit(each, "reply")
        memory.ledger.charge(each, Charge(tokens=1, cost=0.1, exact=exact))
    assert not memory.ledger.paid(call.run_id).exact
