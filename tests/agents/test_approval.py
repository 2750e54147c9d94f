"""A run waits for a person, and goes on with what the person says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from selfsteer.agents import approval
from selfsteer.agents.budget import Budget
from selfsteer.agents.loop import resume_run, run_goal
from selfsteer.agents.types import (
    CandidateResult,
    CandidateSpec,
    ContrastiveSpec,
    Decision,
    Goal,
    RoundSummary,
    Sample,
    SearchSpace,
    Verdict,
)
from selfsteer.errors import (
    ControllerError,
    DatasetError,
    MemoryFileError,
    PlanError,
    SelfsteerError,
)
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.steering.datasets import ContrastiveDataset, ContrastivePair
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Example, Prompt
from tests.agents.doubles import (
    IMPOSSIBLE,
    Scripted,
    confirm_best,
    kinds,
    record,
    settings,
    split_then_confirm,
)

pytestmark = pytest.mark.usefixtures("few_probes")


def waiting(talker: Student, memory: Memory, *approve: str, **changes: Any) -> Run:
    wanted = settings(approve=frozenset(approve), **changes)
    run = run_goal(talker, Scripted(), memory, wanted)
    assert run.status == "waiting"
    return run


def go_on(talker: Student, memory: Memory, run: Run) -> Run:
    return resume_run(run.id, talker, Scripted(), memory)


def test_accepting_everything_ends_as_if_nobody_had_asked(talker: Student, memory: Memory) -> None:
    run = waiting(talker, memory, "data", "plan", use_memory=False)
    assert approval.question_of(memory, run.id).what == "data"
    assert memory.runs.get(run.id).verdict is None
    approval.accept(memory, run.id)
    run = go_on(talker, memory, run)
    assert run.status == "waiting"
    asked = approval.question_of(memory, run.id)
    assert asked.what == "plan"
    assert asked.measured is not None and asked.measured.spec() == asked.candidate
    assert memory.runs.candidates(run.id, "confirmation") == []
    approval.accept(memory, run.id)
    ended = go_on(talker, memory, run)
    assert ended.status == "accepted"
    unasked = run_goal(talker, Scripted(), memory, settings(use_memory=False))
    assert ended.verdict == unasked.verdict
    assert record(memory, run.id)["candidates"] == record(memory, unasked.id)["candidates"]


class OneDose(Scripted):
    """Looks at one candidate in every round, and likes it as much as it is told for the round."""

    def __init__(self, decide: Callable[..., Decision], scores: Sequence[float]) -> None:
        super().__init__(decide)
        self.scores, self.share = scores, 1.0
        self.bests: list[CandidateResult] = []

    def propose(self, goal: Goal, history: Sequence[RoundSummary]) -> ContrastiveSpec:
        self.share = 1.0  # of pairs
        return super().propose(goal, history)

    def choose(self, goal: Goal, evidence: Any, history: Sequence[RoundSummary]) -> SearchSpace:
        self.share = self.scores[len(history)]
        return SearchSpace(sites=("reply",), layers=(1,), low=0.1, high=0.1, trials=1)

    def judge(self, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
        fair = super().judge(goal, samples)
        return [Verdict(score=self.share * verdict.score) for verdict in fair]

    def reflect(self, goal: Goal, history: Sequence[RoundSummary]) -> Decision:
        self.bests = [row.best for row in history if row.best is not None]
        return super().reflect(goal, history)


def test_what_is_shown_of_a_plan_is_the_look_that_chose_it(talker: Student, memory: Memory) -> None:
    """Not an earlier one at the same candidate."""

    def decide(history: Sequence[RoundSummary]) -> Decision:
        if len(history) == 1:
            return Decision(action="narrow", reason="once more")
        return confirm_best(history)

    controller = OneDose(decide, (1.0, 0.5))
    run = run_goal(talker, controller, memory, settings(approve=frozenset({"plan"})))
    asked = approval.question_of(memory, run.id)
    first, second = controller.bests
    assert first.spec() == second.spec() == asked.candidate
    assert asked.measured == second != first


@pytest.mark.parametrize("best", range(3))
def test_what_is_shown_of_a_plan_is_of_its_own_vectors(
    talker: Student, memory: Memory, best: int
) -> None:
    """An equal candidate of other rounds steered with others."""

    def decide(history: Sequence[RoundSummary]) -> Decision:
        return Decision(action="revise_data", reason="not yet")

    controller = OneDose(decide, [1.0 if place == best else 0.01 for place in range(3)])
    wanted = settings(approve=frozenset({"plan"}), budget=Budget(rounds=3))
    run = run_goal(talker, controller, memory, wanted)
    asked = approval.question_of(memory, run.id)
    assert [result.spec() for result in controller.bests] == [asked.candidate] * 3
    assert asked.measured == controller.bests[best]
    assert asked.vectors == {"reply": memory.runs.rounds(run.id)[best].vector_id}


def test_a_round_that_was_cut_short_shows_what_it_measured(talker: Student, memory: Memory) -> None:
    run = waiting(talker, memory, "plan", budget=Budget(candidates=5))
    assert "ran_out" in kinds(memory, run)
    asked = approval.question_of(memory, run.id)
    assert asked.measured is not None and asked.measured.spec() == asked.candidate


def test_a_run_does_not_go_on_unanswered(talker: Student, memory: Memory) -> None:
    run = waiting(talker, memory, "data")
    with pytest.raises(MemoryFileError, match=f"Run {run.id} waits .*; `selfsteer approve` shows"):
        go_on(talker, memory, run)
    assert memory.runs.get(run.id).status == "waiting"
    assert "extracted" not in kinds(memory, run)


def test_other_pairs_are_learned_from(talker: Student, memory: Memory) -> None:
    run = waiting(talker, memory, "data")
    shown = memory.get_dataset(str(approval.question_of(memory, run.id).dataset))
    other = ContrastiveDataset(concept=shown.concept, pairs=shown.pairs[:9])
    approval.replace_data(memory, run.id, other)
    go_on(talker, memory, run)
    [turn] = memory.runs.rounds(run.id)
    assert turn.dataset_id == other.id
    assert turn.details["pairs"] == {"kept": 9, "sampled": 64}
    assert memory.get_vector(str(turn.vector_id)).dataset_id == other.id


def test_another_plan_is_confirmed(talker: Student, memory: Memory) -> None:
    run = waiting(talker, memory, "plan")
    asked = approval.question_of(memory, run.id)
    assert asked.candidate is not None
    other = asked.candidate.model_copy(update={"strength": 0.123, "layer": 1})
    approval.replace_plan(memory, run.id, other)
    ended = go_on(talker, memory, run)
    assert ended.verdict is not None
    assert (ended.verdict["strength"], ended.verdict["layer"]) == (0.123, 1)


@pytest.mark.parametrize("what", ["data", "plan"])
def test_a_refusal_ends_the_run_and_its_reason_is_the_verdict(
    talker: Student, memory: Memory, what: str
) -> None:
    run = waiting(talker, memory, what)
    approval.refuse(memory, run.id, "It is beside the point.")
    ended = go_on(talker, memory, run)
    assert ended.status == "rejected"
    assert ended.verdict is not None
    assert ended.verdict["reason"] == f"The {what} was refused: It is beside the point."
    assert memory.runs.candidates(run.id, "confirmation") == []
    assert memory.remembered() == []


def test_a_recalled_plan_is_asked_about_and_so_is_what_replaces_it(
    talker: Student, memory: Memory
) -> None:
    run_goal(talker, Scripted(), memory, settings())
    run = waiting(talker, memory, "plan")
    assert approval.question_of(memory, run.id).occasion == "plan/recalled"
    refused = waiting(talker, memory, "plan")
    approval.refuse(memory, refused.id, "Not that one.")
    assert go_on(talker, memory, refused).status == "rejected"
    approval.accept(memory, run.id)
    ended = go_on(talker, memory, run)
    assert ended.status == "accepted"
    strict = waiting(talker, memory, "plan", thresholds=IMPOSSIBLE)
    approval.accept(memory, strict.id)
    assert go_on(talker, memory, strict).status == "rejected"


def test_the_first_answer_stays(talker: Student, memory: Memory) -> None:
    run = waiting(talker, memory, "data")
    approval.accept(memory, run.id)
    approval.accept(memory, run.id)
    with pytest.raises(MemoryFileError, match=r"answered before \(accept\)"):
        approval.refuse(memory, run.id, "No.")
    assert go_on(talker, memory, run).status == "accepted"
    with pytest.raises(MemoryFileError, match="waits for no approval; it is accepted"):
        approval.accept(memory, run.id)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"site": "text"}, ControllerError, "no vector for site text"),
        ({"layer": 9}, ControllerError, "layer 9"),
        ({"operator": "rotate", "strength": 9}, PlanError, "Strength 9.0 of operator 'rotate'"),
        ({"strength": float("nan")}, PlanError, "not finite"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(
    talker: Student,
    memory: Memory,
    change: dict[str, Any],
    error: type[SelfsteerError],
    words: str,
) -> None:
    run = waiting(talker, memory, "plan")
    asked = approval.question_of(memory, run.id)
    assert asked.candidate is not None
    other = CandidateSpec.model_validate(asked.candidate.model_dump() | change)
    with pytest.raises(error, match=words):
        approval.replace_plan(memory, run.id, other)
    approval.accept(memory, run.id)
    assert go_on(talker, memory, run).status == "accepted"


BARE = [
    ContrastivePair(
        positive=Example(prompt=Prompt(text=f"abc {i}")),
        negative=Example(prompt=Prompt(text=f"xyz {i}")),
    )
    for i in range(8)
]


def test_too_few_pairs_are_refused_and_not_kept(talker: Student, memory: Memory) -> None:
    run = waiting(talker, memory, "data")
    shown = memory.get_dataset(str(approval.question_of(memory, run.id).dataset))
    few = ContrastiveDataset(concept=shown.concept, pairs=shown.pairs[:7])
    with pytest.raises(DatasetError, match="needs 8 pairs at least, not 7"):
        approval.replace_data(memory, run.id, few)
    assert few.id not in {kept.id for kept in memory.artefacts("dataset")}
    approval.replace_data(memory, run.id, few.model_copy(update={"pairs": shown.pairs[:8]}))
    assert go_on(talker, memory, run).status == "accepted"


def test_pairs_that_were_given_may_be_as_few_as_can_be_told_apart(
    talker: Student, memory: Memory
) -> None:
    given = ContrastiveDataset(concept="given", pairs=tuple(BARE[:3]))

    class Given(Scripted):
        def propose(self, goal: Goal, history: Sequence[RoundSummary]) -> ContrastiveSpec:
            return ContrastiveSpec(dataset=given)

    run = run_goal(talker, Given(), memory, settings(approve=frozenset({"data"})))
    one, two = (given.model_copy(update={"pairs": given.pairs[:count]}) for count in (1, 2))
    with pytest.raises(DatasetError, match="needs 2 pairs at least, not 1"):
        approval.replace_data(memory, run.id, one)
    approval.replace_data(memory, run.id, two)
    assert resume_run(run.id, talker, Given(), memory).status == "accepted"


def test_a_part_learns_from_pairs_that_can_be_read_where_the_others_are(
    talker: Student, memory: Memory
) -> None:
    wanted = settings(approve=frozenset({"data"}))
    run = run_goal(talker, Scripted(split_then_confirm), memory, wanted)
    bare = ContrastiveDataset(concept="bare", pairs=tuple(BARE))
    seen: list[str] = []
    while run.status == "waiting":
        asked = approval.question_of(memory, run.id)
        seen.append(asked.occasion)
        if asked.occasion != "data/0":
            with pytest.raises(DatasetError, match=r"read at text.*read at reply, lead, opening"):
                approval.replace_data(memory, run.id, bare)
        approval.accept(memory, run.id)
        run = resume_run(run.id, talker, Scripted(split_then_confirm), memory)
    assert seen == ["data/0", "data/1/0", "data/1/1"]
    assert run.status == "accepted"


def test_a_whole_goal_may_learn_from_bare_texts(talker: Student, memory: Memory) -> None:
    run = waiting(talker, memory, "data")
    approval.replace_data(memory, run.id, ContrastiveDataset(concept="bare", pairs=tuple(BARE)))
    assert go_on(talker, memory, run).status == "accepted"


def test_an_answer_is_to_what_was_asked(talker: Student, memory: Memory) -> None:
    run = waiting(talker, memory, "data", "plan")
    pairs = memory.get_dataset(str(approval.question_of(memory, run.id).dataset))
    spec = CandidateSpec(site="reply", layer=1, operator="add", strength=0.1)
    with pytest.raises(ControllerError, match="asks about its data, not about a plan"):
        approval.replace_plan(memory, run.id, spec)
    approval.accept(memory, run.id)
    run = go_on(talker, memory, run)
    with pytest.raises(ControllerError, match="asks about its plan, not about pairs"):
        approval.replace_data(memory, run.id, pairs)
    approval.accept(memory, run.id)
    ended = go_on(talker, memory, run)
    assert ended.status == "accepted"
    other = pairs.model_copy(update={"concept": "other"})
    with pytest.raises(MemoryFileError, match="waits for no approval"):
        approval.replace_data(memory, run.id, other)
    assert other.id not in {kept.id for kept in memory.artefacts("dataset")}


def test_a_run_that_is_killed_after_its_answer_finds_it(
    talker: Student, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = waiting(talker, memory, "data")
    approval.accept(memory, run.id)

    def interrupted(kind: str, payload: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resume_run(run.id, talker, Scripted(), memory, listener=interrupted)
    assert memory.runs.get(run.id).status == "stopped"
    assert go_on(talker, memory, run).status == "accepted"
