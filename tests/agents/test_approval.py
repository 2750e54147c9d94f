"""A run waits for a person, and goes on with what the person says."""

from __future__ import annotations

from typing import Any

import pytest

from selfsteer.agents import approval
from selfsteer.agents.loop import resume_run, run_goal
from selfsteer.agents.types import CandidateSpec
from selfsteer.errors import ControllerError, MemoryFileError
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.model import Student
from tests.agents.doubles import IMPOSSIBLE, Scripted, kinds, record, settings

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


def test_a_run_does_not_go_on_unanswered(talker: Student, memory: Memory) -> None:
    run = waiting(talker, memory, "data")
    with pytest.raises(MemoryFileError, match=f"`selfsteer approve {run.id}` shows it"):
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
    ("change", "words"), [({"site": "text"}, "no vector for site text"), ({"layer": 9}, "layer 9")]
)
def test_a_plan_without_a_vector_is_refused(
    talker: Student, memory: Memory, change: dict[str, Any], words: str
) -> None:
    run = waiting(talker, memory, "plan")
    asked = approval.question_of(memory, run.id)
    assert asked.candidate is not None
    other = CandidateSpec.model_validate(asked.candidate.model_dump() | change)
    with pytest.raises(ControllerError, match=words):
        approval.replace_plan(memory, run.id, other)
    assert memory.runs.get(run.id).status == "waiting"


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
