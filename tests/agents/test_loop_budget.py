"""How the loop ends where a budget does, on a tiny random student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from selfsteer.agents.budget import Budget, OutOfBudget, Spent
from selfsteer.agents.loop import run_goal
from selfsteer.agents.types import Decision, RoundSummary
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import (
    EFFORT,
    IMPOSSIBLE,
    Scripted,
    kinds,
    settings,
)

pytestmark = pytest.mark.usefixtures("few_probes")


@pytest.mark.parametrize(
    ("limit", "rounds", "words"),
    [
        ({"rounds": 1}, 1, "budget of 1 rounds"),
        ({"candidates": 5}, 1, "budget of 5 candidates"),
        ({"generated_tokens": 100}, 0, "budget of 100 generated tokens"),
        ({"generated_tokens": 2000}, 1, "budget of 2000 generated tokens"),
        ({"minutes": 1e-6}, 0, "budget of 1e-06 minutes"),
    ],
)
def test_a_used_up_budget_ends_the_run_with_the_reason(
    talker: Student, memory: Memory, limit: dict[str, float], rounds: int, words: str
) -> None:
    run = run_goal(
        talker,
        Scripted(),
        memory,
        settings(thresholds=IMPOSSIBLE, budget=Budget.model_validate(limit)),
    )
    assert run.status == "rejected"
    assert run.verdict is not None
    assert words in str(run.verdict["reason"])
    assert len(memory.runs.rounds(run.id)) == rounds
    [event] = [e for e in memory.runs.events(run.id) if e.kind == "ran_out"]
    assert words in str(event.payload["reason"])
    [verdict] = [e for e in memory.runs.events(run.id) if e.kind == "verdict"]
    spent = Spent.model_validate(verdict.payload["spent"])
    for name in set(limit) - {"minutes"}:
        assert getattr(spent, name) <= limit[name]


def test_no_more_candidates_are_evaluated_than_the_budget_allows(
    talker: Student, memory: Memory
) -> None:
    run = run_goal(
        talker,
        Scripted(),
        memory,
        settings(thresholds=IMPOSSIBLE, budget=Budget(candidates=5)),
    )
    assert len(memory.runs.candidates(run.id)) == 4  # nothing may pass, so the last place is left


def test_a_budget_that_is_used_up_lets_a_promising_candidate_be_confirmed(
    talker: Student, memory: Memory
) -> None:
    def hesitant(history: Sequence[RoundSummary]) -> Decision:
        return Decision(action="revise_data", reason="could be better")

    run = run_goal(talker, Scripted(hesitant), memory, settings(budget=Budget(rounds=1)))
    assert run.status == "accepted"
    assert run.verdict is not None
    assert str(run.verdict["reason"]).endswith("chosen when the budget of 1 rounds is used up")
    assert [turn.decision for turn in memory.runs.rounds(run.id)] == ["revise_data"]


def test_a_search_that_is_cut_short_lets_a_promising_candidate_be_confirmed(
    talker: Student, memory: Memory
) -> None:
    run = run_goal(talker, Scripted(), memory, settings(budget=Budget(candidates=5)))
    assert run.status == "accepted"
    [turn] = memory.runs.rounds(run.id)
    assert turn.decision == "confirm"
    assert "budget of 5 candidates" in turn.reason
    looks = memory.runs.candidates(run.id)
    assert len([look for look in looks if look.split != "report"]) == 5
    assert kinds(memory, run)[-1] == "reported"
    assert run.verdict is not None
    assert turn.vector_id == run.verdict["vector_id"]


def test_the_best_of_an_earlier_round_is_confirmed_when_the_budget_ends(
    talker: Student, memory: Memory
) -> None:
    """The second round finds worse, with other vectors."""

    class Tiring(Scripted):
        rounds = 0

        def propose(self, *arguments: Any) -> Any:
            self.rounds += 1
            return super().propose(*arguments)

        def choose(self, *arguments: Any) -> Any:
            return super().choose(*arguments).model_copy(update={"layers": (2 - self.rounds,)})

        def judge(self, goal: Any, samples: Any) -> Any:
            fair = super().judge(goal, samples)
            if self.rounds < 2:
                return fair
            return [v.model_copy(update={"score": v.score * 0.51}) for v in fair]

    def hesitant(history: Sequence[RoundSummary]) -> Decision:
        return Decision(action="revise_data", reason="could be better")

    controller = Tiring(hesitant)
    run = run_goal(talker, controller, memory, settings(budget=Budget(rounds=2)))
    first, second = memory.runs.rounds(run.id)
    assert run.verdict is not None
    assert first.vector_id != second.vector_id
    assert (run.verdict["vector_id"], run.verdict["layer"]) == (first.vector_id, 1)


@pytest.mark.parametrize("calls", [1, 5, 99])
def test_a_judge_that_cannot_be_paid_any_more_ends_the_run(
    talker: Student, memory: Memory, calls: int
) -> None:
    """Wherever that shows: with pairs, with candidates, or in the confirmation."""

    class Poor(Scripted):
        left = calls

        def reflect(self, *arguments: Any) -> Decision:
            self.left = 0
            return super().reflect(*arguments)

        def judge(self, goal: Any, samples: Any) -> Any:
            if not self.left:
                raise OutOfBudget("the budget of 9 controller calls is used up")
            self.left -= 1
            return super().judge(goal, samples)

    run = run_goal(talker, Poor(), memory, settings())
    assert run.status == "rejected"
    assert run.verdict is not None
    assert "budget of 9 controller calls" in str(run.verdict["reason"])
    assert not memory.remembered()


def test_report_probes_stay_closed_where_the_budget_has_no_room(
    talker: Student, memory: Memory
) -> None:
    effort = EFFORT.model_copy(update={"report_samples": 4000})
    budget = Budget(generated_tokens=20_000)
    run = run_goal(talker, Scripted(), memory, settings(effort=effort, budget=budget))
    assert run.status == "accepted"
    assert kinds(memory, run)[-1] == "report_left_out"
    assert memory.runs.candidates(run.id, "report") == []


def test_endless_narrowing_is_ended_by_the_budget(talker: Student, memory: Memory) -> None:
    def decide(history: Sequence[RoundSummary]) -> Decision:
        return Decision(action="narrow", reason="look closer")

    run = run_goal(
        talker,
        Scripted(decide, trials=2),
        memory,
        settings(thresholds=IMPOSSIBLE, budget=Budget(rounds=2)),
    )
    assert run.status == "rejected"
    assert len(memory.runs.rounds(run.id)) == 2
