"""What one round of the loop hands to the next, and when rounds end, on a tiny random student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from selfsteer.agents.budget import Budget
from selfsteer.agents.loop import run_goal
from selfsteer.agents.types import Decision, RoundSummary, Thresholds
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import (
    EFFORT,
    IMPOSSIBLE,
    Listener,
    Scripted,
    confirm_best,
    settings,
)

pytestmark = pytest.mark.usefixtures("few_probes")


def test_two_barren_rounds_are_given_up(talker: Student, memory: Memory) -> None:
    told = Listener()
    strict = Scripted(score=lambda sample: 0.0)
    run = run_goal(talker, strict, memory, settings(), listener=told)
    assert run.status == "rejected"
    assert run.verdict is not None
    assert "no usable pairs" in str(run.verdict["reason"])
    assert [turn.decision for turn in memory.runs.rounds(run.id)] == ["revise_data", "give_up"]
    assert memory.runs.candidates(run.id) == []
    assert told.kinds.count("proposed") == 2
    assert not {"extracted", "confirmed", "reported"} & set(told.kinds)


def test_a_barren_round_does_not_inherit_what_the_last_one_found(
    talker: Student, memory: Memory
) -> None:
    class Souring(Scripted):
        rounds = 0

        def propose(self, *arguments: Any) -> Any:
            self.rounds += 1
            return super().propose(*arguments)

        def judge(self, goal: Any, samples: Any) -> Any:
            fair = super().judge(goal, samples)
            return fair if self.rounds < 2 else [v.model_copy(update={"score": 0}) for v in fair]

    budget = Budget(rounds=2)
    run = run_goal(talker, Souring(), memory, settings(thresholds=IMPOSSIBLE, budget=budget))
    fruitful, barren = memory.runs.rounds(run.id)
    assert fruitful.details["evidence"]
    assert (barren.dataset_id, barren.vector_id) == (None, None)
    assert barren.details["evidence"] == []
    assert barren.details["space"] == {}


def test_new_data_is_proposed_with_the_history_at_hand(talker: Student, memory: Memory) -> None:
    seen: list[list[int]] = []

    class Watching(Scripted):
        def propose(self, goal: Any, history: Sequence[RoundSummary]) -> Any:
            seen.append([turn.number for turn in history])
            return super().propose(goal, history)

    def decide(history: Sequence[RoundSummary]) -> Decision:
        if len(history) < 3:
            return Decision(action="revise_data", reason="again")
        return confirm_best(history)

    run = run_goal(talker, Watching(decide), memory, settings(budget=Budget(rounds=5)))
    assert seen == [[], [0], [0, 1]]
    rounds = memory.runs.rounds(run.id)
    assert [turn.number for turn in rounds] == [0, 1, 2]
    assert len({turn.dataset_id for turn in rounds}) == 3
    looked_at = memory.runs.candidates(run.id, "development")
    assert {c.round for c in looked_at} == {0, 1, 2}
    assert run.status == "accepted"


def test_a_narrowed_search_knows_what_was_tried(talker: Student, memory: Memory) -> None:
    seen: list[RoundSummary] = []

    def decide(history: Sequence[RoundSummary]) -> Decision:
        seen[:] = history
        if len(history) == 1:
            return Decision(action="narrow", reason="look closer")
        return confirm_best(history)

    # Finalists are looked at for longer than anything before them.
    effort = EFFORT.model_copy(update={"finalist_samples": 2})
    run = run_goal(talker, Scripted(decide), memory, settings(effort=effort))
    looks = memory.runs.candidates(run.id, "development")
    first, second = (
        {str(c.plan) for c in looks if (c.round, c.details["stage"]) == (number, "search")}
        for number in (0, 1)
    )
    assert first
    assert second
    assert not first & second
    # The best of the first round is looked at again, beside what is new.
    again = {str(c.plan) for c in looks if (c.round, c.details["stage"]) == (1, "refine")}
    finalists = [c for c in looks if (c.round, c.details["stage"]) == (0, "finalists")]
    assert seen[0].best is not None
    assert seen[0].leading[0] == seen[0].best
    assert len(seen[0].leading) > len(finalists)
    best = next(c for c in finalists if c.steerability == seen[0].best.steerability)
    assert str(best.plan) in again


def test_a_narrowed_search_keeps_its_data(talker: Student, memory: Memory) -> None:
    told = Listener()

    def decide(history: Sequence[RoundSummary]) -> Decision:
        if len(history) == 1:
            return Decision(action="narrow", reason="look closer")
        return confirm_best(history)

    run = run_goal(talker, Scripted(decide), memory, settings(), listener=told)
    first, second = memory.runs.rounds(run.id)
    assert told.kinds.count("proposed") == told.kinds.count("extracted") == 1
    assert told.kinds.count("search_space") == 2
    assert first.dataset_id == second.dataset_id
    assert {first.vector_id, second.vector_id} <= set(
        told.payloads["extracted"]["vectors"].values()
    )
    searched = [
        c.round
        for c in memory.runs.candidates(run.id, "development")
        if c.details["stage"] == "search"
    ]
    assert searched == [0] * 10 + [1] * 10
    assert run.status == "accepted"


def test_another_method_reads_the_same_data(talker: Student, memory: Memory) -> None:
    def decide(history: Sequence[RoundSummary]) -> Decision:
        if len(history) == 1:
            return Decision(action="other_method", method="lda", reason="noise")
        return confirm_best(history)

    run = run_goal(talker, Scripted(decide), memory, settings())
    first, second = memory.runs.rounds(run.id)
    assert first.dataset_id == second.dataset_id
    methods = [memory.get_vector(turn.vector_id or "").method for turn in (first, second)]
    assert methods == ["mean_difference", "lda"]


class Worsening(Scripted):
    """Every search finds worse than the one before, and the controller goes on all the same."""

    searches = 0
    searching = False

    def __init__(self, action: str) -> None:
        super().__init__(trials=4)
        self.action = action

    def choose(self, *arguments: Any) -> Any:
        self.searches, self.searching = self.searches + 1, True
        return super().choose(*arguments)

    def judge(self, goal: Any, samples: Any) -> Any:
        fair = super().judge(goal, samples)
        share = 0.01 ** (self.searches - 1) if self.searching else 1.0
        return [v.model_copy(update={"score": v.score * share}) for v in fair]

    def reflect(self, *_: Any) -> Decision:
        self.searching = False
        method = "lda" if self.action == "other_method" else None
        told = {"action": self.action, "method": method, "reason": "on and on"}
        return Decision.model_validate(told)


@pytest.mark.parametrize("action", ["revise_data", "narrow", "widen", "other_method"])
def test_rounds_that_bring_nothing_end_whatever_the_controller_says(
    talker: Student, memory: Memory, action: str
) -> None:
    aim = Thresholds(steerability=1, coherence=10, broken=1, retention=0)
    many = Budget(rounds=9, candidates=999)
    run = run_goal(talker, Worsening(action), memory, settings(thresholds=aim, budget=many))
    assert run.status == "rejected"
    assert run.verdict is not None
    assert "two rounds in a row brought nothing better" in str(run.verdict["reason"])
    rounds = memory.runs.rounds(run.id)
    assert [turn.decision for turn in rounds] == [action, action, "give_up"]
    assert f"scripted wanted {action.replace('_', ' ')}: on and on" in rounds[-1].reason


def test_what_may_pass_is_confirmed_when_rounds_bring_nothing(
    talker: Student, memory: Memory
) -> None:
    many = Budget(rounds=9, candidates=999)
    run = run_goal(talker, Worsening("revise_data"), memory, settings(budget=many))
    assert run.status == "accepted"
    assert run.verdict is not None
    assert str(run.verdict["reason"]).endswith(
        "chosen when two rounds in a row brought nothing better"
    )
    first, *_ = memory.runs.rounds(run.id)
    assert run.verdict["vector_id"] == first.vector_id
