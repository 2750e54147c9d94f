"""The loop from goal to verdict on a tiny random student, with a scripted controller."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import pytest

from selfsteer.agents.budget import Budget
from selfsteer.agents.loop import run_goal
from selfsteer.agents.nodes import report
from selfsteer.agents.types import CandidateSpec, Decision, RoundSummary, Sample
from selfsteer.errors import ControllerError
from selfsteer.memory.store import Memory
from selfsteer.steering.generate import generate
from selfsteer.steering.metrics.retention import CapabilityItem
from selfsteer.steering.model import Student
from selfsteer.steering.prompts import Prompt
from tests.agents.doubles import (
    EASY,
    EFFORT,
    GOAL,
    IMPOSSIBLE,
    Listener,
    Scripted,
    confirm_best,
    deal_few,
    first_half,
    kinds,
    questions,
    record,
    settings,
    texts,
)

pytestmark = pytest.mark.usefixtures("few_probes")


def test_a_run_goes_through_every_node_to_acceptance(talker: Student, memory: Memory) -> None:
    told = Listener()
    run = run_goal(talker, Scripted(trials=14), memory, settings(), listener=told)
    assert [kind for kind, _ in groupby(told.kinds)] == [
        "started",
        "proposed",
        "collected",
        "extracted",
        "search_space",
        "evaluated",
        "reflected",
        "confirmed",
        "verdict",
        "reported",
    ]
    assert told.kinds.count("evaluated") >= 3  # the grid, what TPE asked for, the finalists
    assert kinds(memory, run) == told.kinds
    assert run.status == "accepted"
    assert run.verdict is not None
    assert run.verdict["recalled"] is None
    assert run.seconds > 0
    [remembered] = memory.remembered()
    assert (remembered.goal, remembered.run_id) == (GOAL, run.id)
    assert remembered.vector_id == run.verdict["vector_id"]
    vector = memory.get_vector(remembered.vector_id)
    assert (vector.concept, vector.student_fingerprint) == (GOAL, talker.fingerprint)


def test_what_was_measured_is_on_record(talker: Student, memory: Memory) -> None:
    run = run_goal(talker, Scripted(), memory, settings())
    search = memory.runs.candidates(run.id, "development")
    assert [c.number for c in search] == list(range(len(search)))
    stages = [c.details["stage"] for c in search]
    looks = len(search) - 12
    assert 2 <= looks <= 12  # two, at three doses, pushed to the end and not
    assert stages == ["search"] * 10 + ["refine"] * looks + ["finalists"] * 2
    plans = [str(c.plan) for c in search]
    assert len(set(plans[:10])) == 10
    assert set(plans[-2:]) <= set(plans[10:-2])
    [confirmed] = memory.runs.candidates(run.id, "confirmation")
    assert run.verdict is not None
    assert confirmed.steerability == run.verdict["steerability"]
    assert confirmed.n == len(deal_few(3).confirmation) * EFFORT.confirmation_samples
    arms = memory.runs.candidates(run.id, "report")
    assert [c.arm for c in arms] == ["base", "prompt_only", "steered"]
    assert arms[2].plan == confirmed.plan
    assert arms[0].plan == {"edits": []}
    assert [c.n for c in arms] == [EFFORT.report_samples] * 3
    [turn] = memory.runs.rounds(run.id)
    assert (turn.decision, turn.vector_id) == ("confirm", run.verdict["vector_id"])


def test_a_round_without_a_good_finalist_looks_at_doses_between(
    talker: Student, memory: Memory
) -> None:
    asked = settings(
        thresholds=IMPOSSIBLE,
        effort=EFFORT.model_copy(update={"polished": 1}),
        budget=Budget(rounds=1),
    )
    run = run_goal(talker, Scripted(), memory, asked)
    looked = memory.runs.candidates(run.id, "development")
    assert [c.number for c in looked] == list(range(len(looked)))
    stages = [c.details["stage"] for c in looked]
    between = stages.count("polish")
    assert between in (1, 2)  # one where the best stands at the end of the range
    assert stages[-2 - between :] == ["finalists"] * 2 + ["polish"] * between
    last = looked[-2 - between :]
    assert len({str(c.plan) for c in last}) == len(last)
    assert len({c.n for c in last}) == 1


@pytest.mark.parametrize("rechecked", [1, 2])
def test_what_will_do_by_little_is_looked_at_once_more(
    talker: Student, memory: Memory, rechecked: int
) -> None:
    """By new replies to the same probes; both looks together are what the controller is told."""
    seen: list[RoundSummary] = []

    def decide(history: Sequence[RoundSummary]) -> Decision:
        seen[:] = history
        return confirm_best(history)

    asked = settings(effort=EFFORT.model_copy(update={"rechecked": rechecked}))
    run = run_goal(talker, Scripted(decide), memory, asked)
    looked = memory.runs.candidates(run.id, "development")
    assert [c.number for c in looked] == list(range(len(looked)))
    finalists = [c for c in looked if c.details["stage"] == "finalists"]
    again = [c for c in looked if c.details["stage"] == "recheck"]
    assert looked[-rechecked:] == again
    first = {str(c.plan): c for c in finalists}
    assert {str(c.plan) for c in again} <= set(first)
    assert {c.generations_id for c in again} != {c.generations_id for c in finalists}
    best = seen[0].best
    assert best is not None
    both = [(c.steerability, first[str(c.plan)].steerability) for c in again]
    assert best.n == 2 * finalists[0].n
    assert any(best.steerability == pytest.approx((a + b) / 2) for a, b in both)


def test_splits_are_kept_apart(talker: Student, memory: Memory) -> None:
    run = run_goal(talker, Scripted(), memory, settings())
    probes = deal_few(3)
    for split in ("development", "confirmation", "report"):
        for candidate in memory.runs.candidates(run.id, split):
            asked = questions(memory, candidate.generations_id)
            assert asked <= texts(getattr(probes, split))
    [turn] = memory.runs.rounds(run.id)
    assert turn.dataset_id is not None
    for pair in memory.get_dataset(turn.dataset_id).pairs:
        assert texts([pair.positive.prompt, pair.negative.prompt]) <= texts(probes.extraction)


def test_the_judge_decides_which_pairs_are_kept(talker: Student, memory: Memory) -> None:
    run = run_goal(talker, Scripted(), memory, settings())
    [turn] = memory.runs.rounds(run.id)
    assert turn.dataset_id is not None
    pairs = memory.get_dataset(turn.dataset_id).pairs
    assert 0 < len(pairs) < 64
    assert turn.details["pairs"] == {"kept": len(pairs), "sampled": 64}
    for pair in pairs:
        assert first_half(pair.positive.completion) >= 0.5 > first_half(pair.negative.completion)


def test_the_report_probes_are_opened_after_the_verdict_is_stored(
    talker: Student, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    sample = report.sample

    def watched(*arguments: Any, **named: Any) -> Any:
        [run] = memory.runs.all()
        opened.append((run.verdict_stored is not None, texts(arguments[2])))
        return sample(*arguments, **named)

    monkeypatch.setattr(report, "sample", watched)
    run_goal(talker, Scripted(), memory, settings())
    assert opened == [(True, texts(deal_few(3).report))]


def test_no_report_samples_leave_the_report_probes_closed(talker: Student, memory: Memory) -> None:
    effort = EFFORT.model_copy(update={"report_samples": 0})
    run = run_goal(talker, Scripted(), memory, settings(effort=effort))
    assert run.status == "accepted"
    assert memory.runs.candidates(run.id, "report") == []


def test_a_failed_confirmation_ends_the_run_and_explains_itself(
    talker: Student, memory: Memory
) -> None:
    run = run_goal(talker, Scripted(confirm_best), memory, settings(thresholds=IMPOSSIBLE))
    assert run.status == "rejected"
    assert run.verdict is not None
    assert "steerability" in str(run.verdict["reason"])
    assert ">= 1: no" in str(run.verdict["reason"])
    assert len(memory.runs.candidates(run.id, "confirmation")) == 1
    assert memory.remembered() == []
    # What was found is still reported: a false rejection would show there.
    assert len(memory.runs.candidates(run.id, "report")) == 3


@pytest.mark.parametrize(
    ("score", "decision"),
    [
        (0.0, Decision(action="confirm", candidate=None)),
        (
            0.0,
            Decision(
                action="confirm",
                candidate=CandidateSpec(site="reply", layer=0, operator="add", strength=1),
            ),
        ),
        (None, Decision(action="confirm", candidate=None)),
    ],
    ids=["nothing", "without-a-vector", "no-candidate"],
)
def test_a_controller_that_confirms_what_is_not_there_is_refused(
    talker: Student, memory: Memory, score: float | None, decision: Decision
) -> None:
    def judge(sample: Sample) -> float:
        return first_half(sample.reply) if score is None else score

    with pytest.raises(ControllerError, match="scripted"):
        run_goal(talker, Scripted(lambda _: decision, score=judge), memory, settings())
    [run] = memory.runs.all()
    assert run.status == "failed"


def test_the_same_seed_gives_the_same_run(talker: Student, tmp_path: Path) -> None:
    records, verdicts = [], []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        with Memory.open(tmp_path / f"{name}.db") as memory:
            run = run_goal(talker, Scripted(), memory, settings(seed=seed))
            records.append(record(memory, run.id))
            verdicts.append(run.verdict)
    assert records[0] == records[1]
    assert verdicts[0] == verdicts[1]
    assert records[0]["candidates"] != records[2]["candidates"]


def test_retention_is_measured_where_there_are_questions(talker: Student, memory: Memory) -> None:
    asked = ["One?", "Two?", "Three?"]
    replies = generate(talker, [Prompt.chat(q) for q in asked], max_new_tokens=32, temperature=0)
    items = [
        CapabilityItem(question=question, answers=(reply.text,))
        for question, reply in zip(asked, replies, strict=True)
    ]
    run = run_goal(talker, Scripted(), memory, settings(), capability=items)
    assert run.verdict is not None
    retained = run.verdict["retention"]
    assert isinstance(retained, float)
    assert retained * len(items) == pytest.approx(round(retained * len(items)))
    tried = memory.runs.candidates(run.id, "development")
    asked = iter(c.retention is not None for c in tried if c.details["stage"] == "search")
    told: list[Any] = [e.payload for e in memory.runs.events(run.id) if e.kind == "evaluated"]
    batches = [row["candidates"] for row in told if row["stage"] == "search"]
    assert sum(batches) == 10
    for size in batches:
        assert sum(islice(asked, size)) == math.ceil(size / 4)
    assert all(c.retention is not None for c in tried if c.details["stage"] != "search")


def test_a_goal_of_braces_and_quotes_is_text(talker: Student, memory: Memory) -> None:
    goal = "use {curly} 'words' \"and\" {0}; DROP TABLE runs; --"
    run = run_goal(talker, Scripted(), memory, settings(goal=goal, thresholds=EASY))
    assert run.goal == goal
    assert run.status == "accepted"
