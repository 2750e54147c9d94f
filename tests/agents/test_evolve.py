"""Evolutions: what they keep, what they spend, that they go on, and that they are honest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from langgraph.runtime import RunControl

from selfsteer.agents import evolve
from selfsteer.agents.budget import Budget, CannotGoOn
from selfsteer.agents.evolve import evolve_goal, resume_evolution
from selfsteer.agents.evolving.context import EvolveContext
from selfsteer.agents.evolving.last_looks import Champions, compare
from selfsteer.agents.evolving.settings import evaluations
from selfsteer.agents.loop import run_goal
from selfsteer.agents.types import Goal, Sample, Verdict
from selfsteer.errors import ControllerError, MemoryFileError, PopulationError, VectorError
from selfsteer.memory.check import check
from selfsteer.memory.collect import collect
from selfsteer.memory.lineage import family
from selfsteer.memory.records import Candidate, Run
from selfsteer.memory.store import Memory
from selfsteer.steering.datasets import ContrastiveDataset
from selfsteer.steering.model import Student
from tests.agents.doubles import (
    IMPOSSIBLE,
    Scripted,
    build_talker,
    deal_few,
    first_half,
    kinds,
    questions,
    record,
    settings,
    texts,
)
from tests.agents.evolving_doubles import evolving, few, found


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)


@pytest.fixture
def evolved(talker: Student, memory: Memory) -> Run:
    return evolve_goal(talker, Scripted(), memory, evolving(found(talker, memory)))


def looks(memory: Memory, run: Run, stage: str = "generation") -> list[Candidate]:
    rows = memory.runs.candidates(run.id, "development")
    return [row for row in rows if row.details["stage"] == stage]


def individual(row: Candidate) -> Any:
    return row.details["individual"]


def stop_after(calls: int) -> Callable[[Any], float]:
    """A judge at whom somebody presses Ctrl-C, once."""
    left = [calls]

    def score(sample: Any) -> float:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return first_half(sample.reply)

    return score


def test_what_is_kept(evolved: Run, memory: Memory) -> None:
    assert evolved.status == "accepted"
    assert kinds(memory, evolved) == [
        *("started", *["generation"] * 3, "finalists", "confirmed", "verdict", "compared")
    ]
    assert [turn.decision for turn in memory.runs.rounds(evolved.id)] == ["breed"] * 3 + ["confirm"]
    # every individual's vector has its whole family in memory, down to the founders
    founders = set(evolved.settings["evolution"]["founders"])  # type: ignore[call-overload,index,arg-type]
    for row in looks(memory, evolved):
        members = family(memory, memory.get_vector(individual(row)["vector"]))
        assert all(member.stored for member in members.values())
        assert {name for name, member in members.items() if not member.parents} <= founders
    names = {individual(row)["name"] for row in looks(memory, evolved)}
    assert all(set(individual(row)["parents"]) <= names for row in looks(memory, evolved))
    assert not check(memory).faults
    assert collect(memory) == []


def test_the_verdict_is_remembered_like_any_other(
    evolved: Run, talker: Student, memory: Memory, few_probes: object
) -> None:
    again = run_goal(talker, Scripted(), memory, settings())
    assert again.verdict is not None
    assert again.verdict["recalled"] == evolved.id


def test_both_arms_have_the_same_price(evolved: Run, memory: Memory) -> None:
    by_arm: dict[tuple[int, Any], int] = {}
    for row in looks(memory, evolved):
        key = (row.round, row.details["group"])
        by_arm[key] = by_arm.get(key, 0) + row.n
    assert by_arm.pop((0, "founding")) == 4 * 3
    assert by_arm == {(turn, arm): 4 * 3 for turn in (1, 2) for arm in ("evolved", "random")}
    for arm in ("evolved", "random"):  # and as many that are looked at again
        rows = [row for row in looks(memory, evolved) if row.details["group"] == arm]
        old = [row for row in rows if not individual(row)["name"].startswith(f"{row.round}.")]
        assert len(old) == 2
    finals = [row.details["group"] for row in looks(memory, evolved, "finalists")]
    assert {name: finals.count(name) for name in finals} == {
        "evolved": 2,
        "random": 2,
        "founder": 2,
    }
    asked = evaluations(evolving(found(build_talker(), memory)))
    told = next(e for e in memory.runs.events(evolved.id) if e.kind == "verdict")
    assert told.payload["spent"]["candidates"] == asked  # type: ignore[call-overload,index]


def test_selection_never_sees_the_probes_of_the_figures(evolved: Run, memory: Memory) -> None:
    dealt = deal_few(3)
    seen: dict[str, set[str]] = {}
    for row in memory.runs.candidates(evolved.id):
        seen.setdefault(row.split, set()).update(questions(memory, row.generations_id))
    assert seen["development"] <= texts(dealt.development)
    assert seen["confirmation"] == texts(dealt.confirmation)
    assert seen["report"] == texts(dealt.report)
    assert not seen["development"] & (seen["confirmation"] | seen["report"])


def test_generations_take_the_probes_in_turn(evolved: Run, memory: Memory) -> None:
    asked = [
        questions(memory, next(r for r in looks(memory, evolved) if r.round == n).generations_id)
        for n in range(3)
    ]
    assert asked[0] != asked[1]
    assert set.union(*asked) == texts(deal_few(3).development)


def test_the_same_seed_gives_the_same_evolution(
    evolved: Run, talker: Student, memory: Memory
) -> None:
    again = evolve_goal(talker, Scripted(), memory, evolving(found(talker, memory)))
    assert _comparable(memory, again) == _comparable(memory, evolved)
    other = evolve_goal(talker, Scripted(), memory, evolving(found(talker, memory), seed=4))
    assert _comparable(memory, other) != _comparable(memory, evolved)


def _comparable(memory: Memory, run: Run) -> dict[str, list[Any]]:
    """A run's record without the minutes."""
    rows = record(memory, run.id)
    for row in rows["candidates"]:
        row["details"].pop("spent", None)
    return rows


@pytest.mark.parametrize("calls", [1, 20, 60, 110, 130])
def test_ctrl_c_keeps_what_there_is_and_resume_goes_on(
    evolved: Run, talker: Student, memory: Memory, calls: int
) -> None:
    wanted = evolving(found(talker, memory))
    with pytest.raises(KeyboardInterrupt):
        evolve_goal(talker, Scripted(score=stop_after(calls)), memory, wanted)
    [stopped] = [run for run in memory.runs.all() if run.status == "stopped"]
    kept = [e.payload for e in memory.runs.events(stopped.id) if e.kind == "generation"]
    resumed = resume_evolution(stopped.id, talker, Scripted(), memory)
    assert resumed.status == "accepted"
    assert _comparable(memory, resumed) == _comparable(memory, evolved)
    told = [e.payload for e in memory.runs.events(resumed.id) if e.kind == "generation"]
    assert told[: len(kept)] == kept


def test_what_is_on_record_is_not_asked_again(talker: Student, memory: Memory) -> None:
    control, asked = RunControl(), [0]

    def count(sample: Any) -> float:
        asked[0] += 1
        control.request_drain()
        return first_half(sample.reply)

    wanted = evolving(found(talker, memory))
    drained = evolve_goal(talker, Scripted(score=count), memory, wanted, control=control)
    assert drained.status == "stopped"
    assert kinds(memory, drained) == ["started", "generation"]
    resume_evolution(drained.id, talker, Scripted(score=count), memory)
    whole = asked[0]
    asked[0] = 0
    evolve_goal(talker, Scripted(score=count), memory, wanted)
    assert asked[0] == whole
    with pytest.raises(MemoryFileError, match="nothing to resume"):
        resume_evolution(drained.id, talker, Scripted(), memory)


@pytest.mark.parametrize(
    ("budget", "generations"),
    [
        (Budget(candidates=1), 0),
        (Budget(candidates=12), 1),
        (Budget(candidates=25), 2),
        (Budget(generated_tokens=560), 1),
        (Budget(minutes=1e-9), 1),
    ],
)
def test_no_budget_is_passed(
    talker: Student, memory: Memory, budget: Budget, generations: int
) -> None:
    run = evolve_goal(talker, Scripted(), memory, evolving(found(talker, memory), budget=budget))
    assert kinds(memory, run).count("generation") == generations
    told = next(e for e in memory.runs.events(run.id) if e.kind == "verdict")
    spent: Any = told.payload["spent"]
    assert spent["candidates"] <= budget.candidates
    assert spent["generated_tokens"] <= budget.generated_tokens
    assert run.verdict is not None
    assert "the budget of" in str(run.verdict["reason"])
    assert ("vector_id" in run.verdict) == bool(generations)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds by which the clock is put forward."""
    forward, monotonic = [0.0], time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + forward[0])
    return forward


def slow(clock: list[float], split: str) -> Callable[[Any], float]:
    """A judge that takes a minute for each reply to the probes of a split."""
    probes = texts(getattr(deal_few(3), split))

    def score(sample: Any) -> float:
        clock[0] += 60.0 * (sample.prompt in probes)
        return first_half(sample.reply)

    return score


def minutes(memory: Memory, run: Run) -> float:
    """As the verdict tells them."""
    told = next(e for e in memory.runs.events(run.id) if e.kind == "verdict")
    spent: Any = told.payload["spent"]
    return float(spent["minutes"])


def test_the_last_look_takes_its_minutes(
    talker: Student, memory: Memory, clock: list[float]
) -> None:
    wanted = evolving(found(talker, memory), budget=Budget(minutes=5))
    judge = Scripted(score=slow(clock, "confirmation"))
    run = evolve_goal(talker, judge, memory, wanted)
    assert run.status == "accepted"
    [last] = memory.runs.candidates(run.id, "confirmation")
    assert minutes(memory, run) >= last.n > 5
    # So there is no room for the report, which would come on top.
    assert kinds(memory, run)[-1] == "report_left_out"
    assert memory.runs.candidates(run.id, "report") == []


def test_the_report_takes_its_minutes(
    talker: Student, memory: Memory, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    spent: list[float] = []

    def measured(context: EvolveContext, champions: Champions) -> None:
        compare(context, champions)
        spent.append(context.spent.minutes)

    monkeypatch.setattr(evolve, "compare", measured)
    judge = Scripted(score=slow(clock, "report"))
    run = evolve_goal(talker, judge, memory, evolving(found(talker, memory)))
    steered = [row for row in memory.runs.candidates(run.id, "report") if row.arm == "steered"]
    assert spent[0] - minutes(memory, run) >= sum(row.n for row in steered) > 0


@pytest.mark.parametrize(("last", "looks"), [("started", 1), ("generation", 3), ("finalists", 1)])
def test_looks_that_fail_take_their_minutes(
    talker: Student, memory: Memory, clock: list[float], last: str, looks: int
) -> None:
    """The founding generation; the next one and all that comes after it; the confirmation."""
    failed: list[str] = []

    class Silent(Scripted):
        def judge(self, goal: Goal, samples: Sequence[Sample]) -> list[Verdict]:
            [run] = memory.runs.all()
            if kinds(memory, run)[-1] == last:
                clock[0] += 3600
                failed.append(last)
                raise CannotGoOn("the controller gave no answer")
            return super().judge(goal, samples)

    wanted = evolving(found(talker, memory), budget=Budget(minutes=1000))
    run = evolve_goal(talker, Silent(), memory, wanted)
    assert len(failed) == looks
    assert 60 * looks <= minutes(memory, run) < 60 * looks + 5


def test_a_goal_that_is_not_reached_is_rejected_and_reported(
    talker: Student, memory: Memory
) -> None:
    run = evolve_goal(
        talker, Scripted(), memory, evolving(found(talker, memory), thresholds=IMPOSSIBLE)
    )
    assert run.status == "rejected"
    arms = [(row.arm, row.details.get("group")) for row in memory.runs.candidates(run.id, "report")]
    assert arms == [
        ("base", None),
        ("prompt_only", None),
        ("steered", "evolved"),
        ("steered", "random"),
        ("steered", "founder"),
    ]


def test_founders_that_do_not_fit_open_no_run(talker: Student, memory: Memory) -> None:
    [one] = found(talker, memory, 1)
    half = replace(one, directions={0: one.directions[0]}, residual_norms={0: 5.0})
    other = found(build_talker(bias=11.0), memory, 1)[0]
    for vector in (half, other):
        memory.put_vector(vector)
    for founders, error in (
        ([one, one], PopulationError),
        ([one, half], VectorError),
        ([other], VectorError),
    ):
        with pytest.raises(error):
            evolve_goal(talker, Scripted(), memory, evolving(founders))
    with pytest.raises(MemoryFileError):
        evolve_goal(talker, Scripted(), memory, evolving([one * 2]))
    assert memory.runs.all() == []


def test_a_judge_that_learns_from_pairs_needs_some(talker: Student, memory: Memory) -> None:
    row = '{"positive": "a", "negative": "b"}'
    pairs = ContrastiveDataset.from_jsonl(row, concept="a")
    learned: list[Any] = []

    class Learning(Scripted):
        def confirms_pairs(self) -> bool:
            return False

        def learn(self, goal: Any, dataset: ContrastiveDataset) -> None:
            learned.append(dataset)

    wanted = evolving(found(talker, memory))
    with pytest.raises(ControllerError, match="judges by pairs"):
        evolve_goal(talker, Learning(), memory, wanted)
    assert memory.runs.all() == []
    evolve_goal(talker, Learning(), memory, wanted, dataset=pairs)
    memory.put_dataset(pairs)
    [vector] = found(talker, memory, 1)
    read_from = replace(vector, dataset_id=pairs.id)
    memory.put_vector(read_from)
    evolve_goal(talker, Learning(), memory, evolving([read_from]))
    assert learned == [pairs, pairs]


def test_a_judge_that_learns_from_pairs_leaves_a_bred_vector_alone(
    evolved: Run,
    talker: Student,
    memory: Memory,
    few_probes: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Scripted, "confirms_pairs", lambda self: False)
    again = run_goal(talker, Scripted(), memory, settings())
    assert again.verdict is not None
    assert again.verdict["recalled"] is None
