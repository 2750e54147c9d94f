"""A goal that is split: pairs and vectors for each part, plans with both, judged as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import pytest

from selfsteer.agents.budget import Budget
from selfsteer.agents.loop import resume_run, run_goal
from selfsteer.agents.nodes.extract import weakest
from selfsteer.agents.search import SearchController
from selfsteer.agents.split_controller import SplitController
from selfsteer.agents.types import CandidateSpec, Decision, Goal, RoundSummary, Sample, Verdict
from selfsteer.memory.check import check
from selfsteer.memory.records import Run
from selfsteer.memory.runs import Runs
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import (
    GOAL,
    PARTS,
    Scripted,
    first_half,
    kinds,
    record,
    settings,
    split_then_confirm,
)
from tests.agents.test_policy import evidence
from tests.agents.test_resume import Strike

pytestmark = pytest.mark.usefixtures("few_probes")


class Splitting(Scripted):
    """Splits the goal after its first round; keeps what each judgement was about."""

    def __init__(self, decide: Callable[..., Decision] = split_then_confirm, **named: Any) -> None:
        super().__init__(decide, **named)
        self.judged: list[str] = []

    def judge(self, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
        self.judged.append(goal.text)
        return super().judge(goal, samples)


def test_each_part_has_its_data_and_every_plan_both_vectors(
    talker: Student, memory: Memory
) -> None:
    controller = Splitting()
    run = run_goal(talker, controller, memory, settings())
    assert run.status == "accepted"
    assert run.verdict is not None
    told = [event for event in memory.runs.events(run.id) if event.payload.get("round") == 1]
    assert [kind for kind, _ in groupby(event.kind for event in told)][:6] == [
        "proposed",
        "collected",
        "proposed",
        "collected",
        "extracted",
        "search_space",
    ]
    assert [e.payload["part"] for e in told if e.kind == "proposed"] == list(PARTS)
    # Pairs are confirmed for their part, everything else is judged by the whole goal.
    goals = [goal for goal, _ in groupby(controller.judged)]
    assert goals == [GOAL, *PARTS, GOAL]
    vectors = [run.verdict["vector_id"], *run.verdict["further"]]
    assert [memory.get_vector(name).concept for name in vectors] == list(PARTS)
    candidates = memory.runs.candidates(run.id)
    plans: list[Any] = [c.plan for c in candidates if c.round == 1 and c.split == "development"]
    for edits in (plan["edits"] for plan in plans):
        assert [memory.get_vector(e["vector"]).concept for e in edits] == list(PARTS)
        assert edits[0]["strength"] == edits[1]["strength"]
    first, second = memory.runs.rounds(run.id)
    assert "parts" not in first.details
    parts: Any = second.details["parts"]
    assert [memory.get_dataset(part["dataset_id"]).concept for part in parts] == list(PARTS)
    assert second.details["vectors"] == vectors
    assert check(memory).faults == ()


def test_a_remembered_plan_with_two_vectors_is_recalled(talker: Student, memory: Memory) -> None:
    first = run_goal(talker, Splitting(), memory, settings())
    again = run_goal(talker, Scripted(), memory, settings(seed=4))
    assert first.verdict is not None and again.verdict is not None
    assert again.verdict["recalled"] == first.id
    assert again.verdict["further"] == first.verdict["further"] != []
    assert len(memory.remembered()) == 1

    class Learning(Scripted):
        def confirms_pairs(self) -> bool:
            return False

    # Its judge would have to learn the whole goal from the pairs of a part.
    assert "recalled" not in kinds(memory, run_goal(talker, Learning(), memory, settings(seed=5)))


@pytest.mark.parametrize("late", [False, True])
def test_a_run_that_is_stopped_at_every_part_ends_the_same(
    talker: Student,
    memory: Memory,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    late: bool,
) -> None:
    def of(kind: str, number: int) -> Callable[..., bool]:
        def chosen(_runs: Runs, _run: str, told: str, payload: Any, **_: Any) -> bool:
            return (told, payload.get("round")) == (kind, number)

        return chosen

    def ended(where: Memory) -> tuple[Run, dict[str, list[Any]]]:
        [run] = where.runs.all()
        return run, record(where, run.id)

    with Memory.open(tmp_path_factory.mktemp("undisturbed") / "memory.db") as undisturbed:
        run_goal(talker, Splitting(), undisturbed, settings())
        expected, left = ended(undisturbed)
    run_id = "0a1b2c3d"
    # The same place twice: the second time it is the second part's.
    for kind in ("proposed", "collected", "proposed", "collected", "extracted", "reflected"):
        with monkeypatch.context() as patch:
            struck = Strike(
                patch, (Runs, "add_event", of(kind, 1)), late=late, error=KeyboardInterrupt()
            )
            with pytest.raises(KeyboardInterrupt):
                if memory.runs.all():
                    resume_run(run_id, talker, Splitting(), memory)
                else:
                    run_goal(talker, Splitting(), memory, settings(), run_id=run_id)
            assert struck.struck
    resume_run(run_id, talker, Splitting(), memory)
    run, found = ended(memory)
    assert (run.status, run.verdict) == (expected.status, expected.verdict)
    assert found == left


def test_a_part_without_pairs_ends_the_round(talker: Student, memory: Memory) -> None:
    class OneSided(Splitting):
        def judge(self, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
            if goal.text == PARTS[1]:
                return [Verdict(score=0)] * len(samples)
            return super().judge(goal, samples)

    seen: list[Sequence[RoundSummary]] = []

    def decide(history: Sequence[RoundSummary]) -> Decision:
        seen.append(history)
        return split_then_confirm(history)

    run = run_goal(talker, OneSided(decide), memory, settings())
    assert run.status == "rejected"
    last = seen[-1][-1]
    assert (last.parts, last.best) == (PARTS, None)
    assert memory.runs.rounds(run.id)[-1].decision == "give_up"


def test_new_data_is_for_the_whole_goal_again(talker: Student, memory: Memory) -> None:
    def decide(history: Sequence[RoundSummary]) -> Decision:
        if len(history) == 2:
            return Decision(action="revise_data", reason="better as a whole")
        return split_then_confirm(history)

    run = run_goal(talker, Splitting(decide), memory, settings(budget=Budget(rounds=4)))
    assert run.verdict is not None
    assert run.verdict["further"] == []
    assert memory.get_vector(run.verdict["vector_id"]).concept == GOAL


def test_other_methods_read_every_part(talker: Student, memory: Memory) -> None:
    def decide(history: Sequence[RoundSummary]) -> Decision:
        if len(history) == 2:
            return Decision(action="other_method", method="lda", reason="the same pairs")
        return split_then_confirm(history)

    run = run_goal(talker, Splitting(decide), memory, settings(budget=Budget(rounds=4)))
    assert run.verdict is not None
    vectors = [memory.get_vector(n) for n in (run.verdict["vector_id"], *run.verdict["further"])]
    assert [(v.concept, v.method) for v in vectors] == [(part, "lda") for part in PARTS]


def test_a_budget_that_ends_finds_both_vectors_of_the_best(talker: Student, memory: Memory) -> None:
    def decide(history: Sequence[RoundSummary]) -> Decision:
        if len(history) == 2:
            return Decision(action="revise_data", reason="on and on")
        return split_then_confirm(history)

    def score(sample: Sample) -> float:
        return 0.6 + 0.4 * first_half(sample.reply)

    class Halves(Splitting):
        def judge(self, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
            if goal.text in PARTS or not self.judged:
                return super().judge(goal, samples)
            return [Verdict(score=score(sample)) for sample in samples]

    run = run_goal(talker, Halves(decide), memory, settings(budget=Budget(rounds=2)))
    assert "ran_out" in kinds(memory, run)
    assert run.verdict is not None
    turn = next(t for t in memory.runs.rounds(run.id) if t.vector_id == run.verdict["vector_id"])
    assert run.verdict["further"] == turn.details.get("vectors", [turn.vector_id])[1:]  # type: ignore[index]


def test_a_split_that_its_judge_cannot_follow_ends_the_run_with_the_reason(
    talker: Student, memory: Memory
) -> None:
    controller = SplitController(Splitting(), {"judge": SearchController(talker)})
    run = run_goal(talker, controller, memory, settings())
    assert run.status == "rejected"
    [turn] = memory.runs.rounds(run.id)
    assert turn.decision == "give_up"
    assert "no pairs are of the whole goal" in turn.reason
    assert turn.reason.endswith("wanted split: two things")
    assert run.verdict == {"status": "rejected", "reason": turn.reason}


def test_the_weaker_part_speaks_for_a_layer() -> None:
    one, other = evidence(0.9, 0.6, 0.8), evidence(0.7, 0.8, 0.8)
    assert [row.auroc for row in weakest([one, other])] == [0.7, 0.6, 0.8]
    assert weakest([one]) == one


@pytest.mark.parametrize(
    ("action", "parts"),
    [("split", ()), ("split", ("a",)), ("split", ("a", "a")), ("give_up", ("a", "b"))],
)
def test_parts_belong_to_a_split(action: Any, parts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="split"):
        Decision(action=action, parts=parts)


def test_a_plan_whose_edits_differ_in_the_vector_alone_is_read_back(
    talker: Student, memory: Memory
) -> None:
    run = run_goal(talker, Splitting(), memory, settings())
    [found] = memory.remembered()
    plan: Any = found.plan
    spec = CandidateSpec.of_plan(plan)
    assert spec is not None and run.verdict is not None
    assert spec.strength == run.verdict["strength"]
    changed = {"edits": [plan["edits"][0], {**plan["edits"][1], "strength": 9.0}]}
    assert CandidateSpec.of_plan(changed) is None
    assert CandidateSpec.of_plan({"edits": [plan["edits"][0]] * 2}) is None
