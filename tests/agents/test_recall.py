"""A remembered vector: tried on probes of its own, kept when it holds, replaced when not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from selfsteer.agents.asking import NoAnswer
from selfsteer.agents.budget import Budget, CannotGoOn, OutOfBudget
from selfsteer.agents.loop import resume_run, run_goal
from selfsteer.agents.search import SearchController
from selfsteer.agents.types import CandidateSpec, Goal, Sample, Verdict
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import (
    EASY,
    GOAL,
    IMPOSSIBLE,
    Scripted,
    build_talker,
    deal_few,
    first_half,
    kinds,
    questions,
    settings,
    texts,
)
from tests.memory.damage import alter_blob

pytestmark = pytest.mark.usefixtures("few_probes")


class Refusing(Scripted):
    """Nothing is good enough."""

    def judge(self, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
        return [Verdict(score=0.0)] * len(samples)


@pytest.mark.parametrize("goal", [GOAL, "Use the first half of the Alphabet!"])
def test_the_same_goal_is_met_from_memory(talker: Student, memory: Memory, goal: str) -> None:
    first = run_goal(talker, Scripted(), memory, settings())
    second = run_goal(talker, Scripted(), memory, settings(goal=goal, seed=8))
    assert kinds(memory, second) == ["started", "recalled", "confirmed", "verdict"]
    assert second.status == "accepted"
    assert first.verdict is not None
    assert second.verdict is not None
    assert second.verdict["recalled"] == first.id
    for name in ("vector_id", *CandidateSpec.model_fields):
        assert second.verdict[name] == first.verdict[name]
    assert memory.runs.rounds(second.id) == []
    assert len(memory.remembered()) == 1


def test_a_vector_that_was_altered_on_disk_is_not_recalled_and_stops_no_run(
    talker: Student, memory: Memory
) -> None:
    first = run_goal(talker, Scripted(), memory, settings())
    assert first.verdict is not None
    alter_blob(memory.path, str(first.verdict["vector_id"]))
    with Memory.open(memory.path) as again, pytest.warns(UserWarning, match="left out"):
        second = run_goal(talker, Scripted(), again, settings(seed=8))
        assert second.status == "accepted"
        assert "recalled" not in kinds(again, second)


def test_a_recalled_vector_is_confirmed_on_probes_of_its_own(
    talker: Student, memory: Memory
) -> None:
    run_goal(talker, Scripted(), memory, settings())
    second = run_goal(talker, Scripted(), memory, settings(seed=8))
    [candidate] = memory.runs.candidates(second.id)
    assert candidate.split == "confirmation"
    assert questions(memory, candidate.generations_id) == texts(deal_few(8).recall)


def test_a_recalled_vector_that_no_longer_holds_is_replaced(
    talker: Student, memory: Memory
) -> None:
    limits = EASY.model_copy(update={"steerability": 0.2})
    first = run_goal(talker, Scripted(), memory, settings(thresholds=limits))
    unconvincing = texts(deal_few(8).recall)

    def strict(sample: Sample) -> float:
        return 0.0 if sample.prompt in unconvincing else first_half(sample.reply)

    wanted = settings(seed=8, thresholds=limits)
    second = run_goal(talker, Scripted(score=strict), memory, wanted)
    assert kinds(memory, second)[:4] == ["started", "recalled", "confirmed", "proposed"]
    assert kinds(memory, second)[-3:] == ["confirmed", "verdict", "reported"]
    assert second.status == "accepted"
    assert second.verdict is not None
    assert second.verdict["recalled"] is None
    looks = memory.runs.candidates(second.id, "confirmation")
    assert [look.details["recalled"] for look in looks] == [True, False]
    assert questions(memory, looks[1].generations_id) == texts(deal_few(8).confirmation)
    # From now on the newer one is recalled.
    third = run_goal(talker, Scripted(), memory, settings(seed=9))
    assert third.verdict is not None
    assert third.verdict["recalled"] == second.id != first.id
    [newer] = memory.remembered()
    assert (newer.run_id, newer.supersedes) == (second.id, 1)
    [doubt] = memory.doubts(1)
    assert doubt.run_id == second.id
    assert doubt.scores["steerability"] == 0
    assert doubt.thresholds == limits.model_dump()


def test_what_could_not_be_confirmed_is_not_offered_again_for_as_much(
    talker: Student, memory: Memory
) -> None:
    """Only to those who ask for less than the run that doubted it."""
    first = run_goal(talker, Scripted(), memory, settings())
    failed = run_goal(talker, Scripted(), memory, settings(thresholds=IMPOSSIBLE))
    assert failed.status == "rejected"
    assert "recalled" in kinds(memory, failed)
    again = run_goal(talker, Scripted(), memory, settings(thresholds=IMPOSSIBLE))
    assert "recalled" not in kinds(memory, again)
    [kept] = memory.remembered()
    assert len(memory.doubts(kept.id)) == 1
    easier = run_goal(talker, Scripted(), memory, settings())
    assert easier.verdict is not None
    assert easier.verdict["recalled"] == first.id


def test_a_doubt_about_another_goal_leaves_a_plan_to_its_own(
    talker: Student, memory: Memory
) -> None:
    """A plan that has half the words of a goal and does not meet it still meets its own."""
    limits = EASY.model_copy(update={"steerability": 0.2})
    own = settings(goal="favour early letters", thresholds=limits)
    first = run_goal(talker, Scripted(), memory, own)
    other = settings(goal="favour early vowels, grumpily", thresholds=limits)
    assert "recalled" in kinds(memory, run_goal(talker, Refusing(), memory, other))
    assert len(memory.doubts(1)) == 1
    assert "recalled" not in kinds(memory, run_goal(talker, Refusing(), memory, other))
    again = run_goal(talker, Scripted(), memory, own)
    assert again.verdict is not None
    assert again.verdict["recalled"] == first.id


def test_without_room_for_a_look_a_run_ends_and_says_so(talker: Student, memory: Memory) -> None:
    run_goal(talker, Scripted(), memory, settings())
    poor = run_goal(talker, Scripted(), memory, settings(budget=Budget(generated_tokens=5)))
    assert poor.status == "rejected"
    assert poor.verdict is not None
    assert "budget" in poor.verdict["reason"]
    assert kinds(memory, poor) == ["started", "recalled", "verdict"]


@pytest.mark.parametrize("cannot", [OutOfBudget, NoAnswer])
def test_a_search_that_cannot_begin_does_not_answer_with_the_plan_that_failed(
    talker: Student, memory: Memory, cannot: type[CannotGoOn]
) -> None:
    class Silent(Scripted):
        def propose(self, *_: Any) -> Any:
            raise cannot("there is nothing left")

    run_goal(talker, Scripted(), memory, settings())
    run = run_goal(talker, Silent(), memory, settings(thresholds=IMPOSSIBLE))
    assert kinds(memory, run) == ["started", "recalled", "confirmed", "ran_out", "verdict"]
    assert run.verdict == {
        "status": "rejected",
        "reason": "Stopped because there is nothing left.",
    }


def test_what_failed_is_not_recalled(talker: Student, memory: Memory) -> None:
    run_goal(talker, Scripted(score=lambda _: 0.0), memory, settings())
    run = run_goal(talker, Scripted(), memory, settings())
    assert "recalled" not in kinds(memory, run)


def test_memory_can_be_left_unused(talker: Student, memory: Memory) -> None:
    run_goal(talker, Scripted(), memory, settings())
    run = run_goal(talker, Scripted(), memory, settings(use_memory=False))
    assert "recalled" not in kinds(memory, run)


def test_another_goal_is_not_met_from_memory(talker: Student, memory: Memory) -> None:
    run_goal(talker, Scripted(), memory, settings())
    run = run_goal(talker, Scripted(), memory, settings(goal="sound grumpy"))
    assert "recalled" not in kinds(memory, run)


def test_a_vector_of_another_student_is_named_and_not_used(memory: Memory) -> None:
    run_goal(build_talker(), Scripted(), memory, settings())
    other = build_talker(bias=11.5)
    run = run_goal(other, Scripted(), memory, settings())
    assert "stale_vector" in kinds(memory, run)
    assert "recalled" not in kinds(memory, run)
    assert run.status == "accepted"


def test_a_stricter_threshold_is_asked_of_a_recalled_vector(
    talker: Student, memory: Memory
) -> None:
    run_goal(talker, Scripted(), memory, settings())
    second = run_goal(talker, Scripted(), memory, settings(thresholds=IMPOSSIBLE))
    assert second.status == "rejected"
    assert "proposed" in kinds(memory, second)


def test_a_run_that_begins_anew_does_not_recall_itself(
    talker: Student, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after its checkpoints were deleted between its verdict and its end."""

    def stop(kind: str, payload: object) -> None:
        if kind == "reported":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_goal(talker, Scripted(), memory, settings(), listener=stop)
    [run] = memory.runs.all()
    memory.path.with_name("memory.db.checkpoints").unlink()
    again = resume_run(run.id, talker, Scripted(), memory)
    assert again.status == "accepted"
    assert again.verdict == run.verdict
    assert "recalled" not in kinds(memory, run)
    assert len(memory.runs.candidates(run.id, "report")) == 3


def test_the_search_controller_can_judge_what_it_recalls(talker: Student, memory: Memory) -> None:
    """Its judge is fitted on pairs, and a recalled run has none of its own."""
    first = run_goal(talker, SearchController(talker), memory, settings())
    assert first.status == "accepted"
    second = run_goal(talker, SearchController(talker), memory, settings(seed=8))
    assert second.verdict is not None
    assert second.verdict["recalled"] == first.id
