"""The loop from goal to verdict on a tiny random student, with a scripted controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from selfsteer.agents.budget import Budget, OutOfBudget, Spent
from selfsteer.agents.loop import run_goal
from selfsteer.agents.nodes import report
from selfsteer.agents.types import CandidateSpec, Decision, RoundSummary, Sample, Thresholds
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
    Scripted,
    deal_few,
    first_half,
    kinds,
    questions,
    record,
    settings,
    texts,
)

pytestmark = pytest.mark.usefixtures("few_probes")


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.payloads: dict[str, Mapping[str, Any]] = {}

    def __call__(self, kind: str, payload: Mapping[str, Any]) -> None:
        self.kinds.append(kind)
        self.payloads[kind] = payload


def confirm_best(history: Sequence[RoundSummary]) -> Decision:
    best = history[-1].best
    assert best is not None
    return Decision(action="confirm", candidate=best.spec(), reason="the best there is")


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
    assert 2 <= looks <= 6
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
    assert stages[-4:-2] == ["finalists"] * 2
    assert stages[-2:] == ["polish"] * 2
    assert {c.n for c in looked[-2:]} == {c.n for c in looked[-4:-2]}


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
    assert len(memory.runs.candidates(run.id)) == 5


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
    for candidate in memory.runs.candidates(run.id, "development"):
        assert (candidate.retention is not None) == (candidate.details["stage"] == "finalists")


def test_a_goal_of_braces_and_quotes_is_text(talker: Student, memory: Memory) -> None:
    goal = "use {curly} 'words' \"and\" {0}; DROP TABLE runs; --"
    run = run_goal(talker, Scripted(), memory, settings(goal=goal, thresholds=EASY))
    assert run.goal == goal
    assert run.status == "accepted"
