"""What is evaluated next, and spaces in which there is nothing to search."""

from __future__ import annotations

from typing import Any

import pytest

from selfsteer.agents.budget import Budget, OutOfBudget
from selfsteer.agents.nodes import plan_search as node
from selfsteer.agents.nodes.plan_search import plan_search
from selfsteer.agents.optimise import beside, first_batch
from selfsteer.agents.policy import utility
from selfsteer.agents.settings import RunSettings
from selfsteer.agents.state import LoopState
from selfsteer.agents.types import (
    CandidateResult,
    CandidateSpec,
    Decision,
    RoundSummary,
    SearchSpace,
)
from selfsteer.errors import ControllerError
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import EASY, EFFORT, IMPOSSIBLE, Scripted, settings
from tests.agents.test_context import build
from tests.agents.test_policy import evidence

SPACE = SearchSpace(sites=("reply",), layers=(0, 1), low=0.1, high=0.8, trials=10)
FRESH: LoopState = {
    "round": 0,
    "stage": "search",
    "space": {},
    "results": [],
    "refined": [],
    "finalists": [],
    "history": [],
    "evidence": [row.model_dump() for row in evidence(0.9, 0.8)],
    "spent": {},
}


class Choosing(Scripted):
    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space

    def choose(self, *_: Any) -> SearchSpace:
        return self.space


def measured(pending: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results that fall with the distance from strength 0.4."""
    return [
        CandidateResult(
            **row,
            steerability=0.9 - abs(row["strength"] - 0.4),
            coherence=1.1,
            broken=0,
            repetition=0,
            n=4,
        ).model_dump()
        for row in pending
    ]


def steered(layer: int, strength: float) -> CandidateSpec:
    return CandidateSpec(site="reply", layer=layer, operator="add", strength=strength)


SEARCHED: LoopState = {
    **FRESH,
    "space": SPACE.model_dump(),
    "results": measured([steered(0, 0.4).model_dump()] * SPACE.trials),
}


def test_first_a_grid_then_batches_then_the_best_more_closely(
    memory: Memory, talker: Student
) -> None:
    context = build(memory, talker, Choosing(SPACE), settings())
    state: LoopState = {**FRESH}
    sizes = []
    while True:
        state = {**state, **plan_search(state, context)}
        if state["stage"] != "search":
            break
        sizes.append(len(state["pending"]))
        state["results"] = [*state["results"], *measured(state["pending"])]
    assert sizes[0] == 8
    assert sum(sizes) == SPACE.trials
    results = [CandidateResult.model_validate(row) for row in state["results"]]
    assert len({result.spec() for result in results}) == len(results)
    best = [result.spec() for result in ranked(results)[:2]]
    refined = [CandidateSpec.model_validate(row) for row in state["pending"]]
    assert refined == beside(SPACE, best)
    assert len(refined) == 6
    state["refined"] = measured(state["pending"])
    state = {**state, **plan_search(state, context)}
    assert state["stage"] == "finalists"
    finalists = [CandidateSpec.model_validate(row) for row in state["pending"]]
    looked_at = [CandidateResult.model_validate(row) for row in state["refined"]]
    assert finalists == [result.spec() for result in ranked(looked_at)[:2]]


def test_finalists_are_of_several_places(memory: Memory, talker: Student) -> None:
    """Two at most of one site and layer, however good the others of it look."""
    context = build(
        memory, talker, Choosing(SPACE), settings(effort=EFFORT.model_copy(update={"finalists": 4}))
    )
    places = [(0, 0.5), (0, 0.6), (0, 0.7), (0, 0.8), (1, 0.5), (1, 0.6)]
    specs = [steered(layer, strength) for layer, strength in places]
    rows = measured([spec.model_dump() for spec in specs])
    for row, steerability in zip(rows, (0.9, 0.89, 0.88, 0.87, 0.2, 0.1), strict=True):
        row["steerability"] = steerability
    state: LoopState = {**SEARCHED, "stage": "refine", "refined": rows}
    update = plan_search(state, context)
    assert update["stage"] == "finalists"
    chosen = [CandidateSpec.model_validate(row) for row in update["pending"]]
    assert chosen == [specs[0], specs[1], specs[4], specs[5]]


def polishing() -> RunSettings:
    """Settings of a run that no finalist will do for."""
    return settings(effort=EFFORT.model_copy(update={"polished": 1}), thresholds=IMPOSSIBLE)


def test_where_no_finalist_will_do_doses_between_are_looked_at(
    memory: Memory, talker: Student
) -> None:
    context = build(memory, talker, Choosing(SPACE), polishing())
    rows = measured([steered(1, 0.5).model_dump(), steered(0, 0.5).model_dump()])
    rows[0]["steerability"], rows[1]["steerability"] = 0.9, 0.1
    state: LoopState = {**SEARCHED, "stage": "finalists", "finalists": rows}
    update = plan_search(state, context)
    assert update["stage"] == "polish"
    strengths = [row["strength"] for row in update["pending"]]
    assert strengths == pytest.approx([0.5 / 1.1, 0.55], abs=1e-3)
    assert {row["layer"] for row in update["pending"]} == {1}


def test_no_dose_between_is_one_that_had_its_last_look(memory: Memory, talker: Student) -> None:
    """At the end of the range there is none beyond."""
    context = build(memory, talker, Choosing(SPACE), polishing())
    rows = measured([steered(1, SPACE.high).model_dump()])
    state: LoopState = {**SEARCHED, "stage": "finalists", "finalists": rows}
    update = plan_search(state, context)
    assert update["stage"] == "polish"
    assert [row["strength"] for row in update["pending"]] == pytest.approx([0.8 / 1.1], abs=1e-3)


def test_in_a_range_of_one_strength_the_best_is_looked_at_once_more(
    memory: Memory, talker: Student
) -> None:
    one = SPACE.model_copy(update={"low": 0.4, "high": 0.4})
    context = build(memory, talker, Choosing(one), polishing())
    rows = measured([steered(1, 0.4).model_dump(), steered(0, 0.4).model_dump()])
    rows[0]["steerability"], rows[1]["steerability"] = 0.5, 0.1
    state: LoopState = {
        **SEARCHED,
        "space": one.model_dump(),
        "stage": "finalists",
        "finalists": rows,
    }
    update = plan_search(state, context)
    assert update["stage"] == "recheck"
    assert update["pending"] == [steered(1, 0.4).model_dump()]


def test_what_costs_abilities_takes_no_place_among_the_finalists(
    memory: Memory, talker: Student
) -> None:
    context = build(memory, talker, Choosing(SPACE), settings())
    rows = measured([steered(layer, dose).model_dump() for layer in (0, 1) for dose in (0.4, 0.5)])
    for row, retention in zip(rows, (0.4, 0.4, 0.98, 0.97), strict=True):
        row |= {"steerability": 0.9, "retention": retention}
    state: LoopState = {**SEARCHED, "stage": "refine", "refined": rows}
    thresholds = context.goal.thresholds.model_copy(update={"retention": 0.9})
    context.goal = context.goal.model_copy(update={"thresholds": thresholds})
    update = plan_search(state, context)
    assert {row["layer"] for row in update["pending"]} == {1}


def ranked(results: list[CandidateResult]) -> list[CandidateResult]:
    return sorted(results, key=lambda result: -utility(result, EASY))


def test_the_strengths_of_the_person_come_before_those_of_the_controller(
    memory: Memory, talker: Student
) -> None:
    context = build(memory, talker, Choosing(SPACE), settings(strengths=(1.0, 2.0)))
    pending = plan_search(FRESH, context)["pending"]
    strengths = [row["strength"] for row in pending]
    assert (min(strengths), max(strengths)) == (1.0, 2.0)


def decided(action: str) -> list[dict[str, Any]]:
    """The history of one round that ended so."""
    row = RoundSummary(
        number=0,
        pairs_kept=40,
        pairs_sampled=64,
        space=SPACE,
        decision=Decision.model_validate({"action": action}),
    )
    return [row.model_dump(mode="json")]


def going_on(action: str, earlier: list[dict[str, Any]]) -> LoopState:
    return {**FRESH, "round": 1, "history": decided(action), "earlier": earlier}


EARLIER = measured([spec.model_dump() for spec in first_batch(SPACE)])


def test_a_search_with_the_same_vectors_goes_on_from_what_is_known(
    memory: Memory, talker: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No grid of what was searched: TPE asks at once, and is told the earlier results."""
    told: list[list[CandidateResult]] = []
    ask = node.next_batch

    def watched(space: SearchSpace, results: Any, *rest: Any, **named: Any) -> Any:
        told.append(list(results))
        return ask(space, results, *rest, **named)

    monkeypatch.setattr(node, "next_batch", watched)
    context = build(memory, talker, Choosing(SPACE), settings())
    state = going_on("narrow", EARLIER)
    state = {**state, **plan_search(state, context)}
    assert 1 <= len(state["pending"]) <= 3
    assert not keys(state["pending"]) & keys(EARLIER)
    assert [result.model_dump() for result in told[0]] == EARLIER
    state["results"] = measured(state["pending"])
    plan_search(state, context)
    assert [result.model_dump() for result in told[1]] == [*EARLIER, *state["results"]]


def test_a_wider_search_begins_on_new_ground(memory: Memory, talker: Student) -> None:
    wider = SPACE.model_copy(update={"low": 0.05, "high": 1.6, "trials": 20})
    context = build(memory, talker, Choosing(wider), settings())
    pending = plan_search(going_on("widen", EARLIER), context)["pending"]
    assert {row["layer"] for row in pending} == {0, 1}
    assert {row["strength"] for row in pending} == {0.05, 1.6}


def test_what_the_space_has_no_room_for_is_not_told(memory: Memory, talker: Student) -> None:
    """A controller may search somewhere else; then it begins with a grid like any."""
    elsewhere = SPACE.model_copy(update={"low": 2.0, "high": 3.0})
    context = build(memory, talker, Choosing(elsewhere), settings())
    pending = plan_search(going_on("narrow", EARLIER), context)["pending"]
    assert pending == [spec.model_dump() for spec in first_batch(elsewhere)]


def test_what_led_before_is_looked_at_beside_the_new_ones(memory: Memory, talker: Student) -> None:
    context = build(memory, talker, Choosing(SPACE), settings())
    best = max(EARLIER, key=lambda row: row["steerability"])
    state = going_on("narrow", EARLIER)
    state |= {"space": SPACE.model_dump(mode="json")}
    new = [{**row, "strength": row["strength"] * 1.1} for row in EARLIER if row != best]
    state["results"] = [{**row, "steerability": 0.1} for row in new[:1]] * SPACE.trials
    update = plan_search(state, context)
    assert update["stage"] == "refine"
    assert CandidateSpec.model_validate({k: best[k] for k in CandidateSpec.model_fields}) in [
        CandidateSpec.model_validate(row) for row in update["pending"]
    ]


@pytest.mark.parametrize(
    ("action", "strengths", "range_"),
    [
        ("narrow", (0.3, 2.0), (0.3, 0.8)),
        ("narrow", (0.05, 0.5), (0.1, 0.5)),
        ("narrow", (1.0, 2.0), (1.0, 2.0)),
        ("widen", (0.3, 2.0), (0.3, 2.0)),
        ("revise_data", (0.3, 2.0), (0.3, 2.0)),
    ],
)
def test_the_strengths_of_the_person_are_the_outer_bound_of_a_narrowed_search(
    memory: Memory,
    talker: Student,
    action: str,
    strengths: tuple[float, float],
    range_: tuple[float, float],
) -> None:
    context = build(memory, talker, Choosing(SPACE), settings(strengths=strengths))
    space = plan_search(going_on(action, []), context)["space"]
    assert (space["low"], space["high"]) == range_


def keys(rows: list[dict[str, Any]]) -> set[CandidateSpec]:
    return {
        CandidateSpec.model_validate({k: row[k] for k in CandidateSpec.model_fields})
        for row in rows
    }


@pytest.mark.parametrize(("spent", "room"), [(0, 5), (3, 2), (4, 1)])
def test_no_batch_is_larger_than_the_budget(
    memory: Memory, talker: Student, spent: int, room: int
) -> None:
    """One is left for the look that accepts or refuses."""
    context = build(memory, talker, Choosing(SPACE), settings(budget=Budget(candidates=6)))
    update = plan_search({**FRESH, "spent": {"candidates": spent}}, context)
    assert len(update["pending"]) == room


@pytest.mark.parametrize(
    ("spent", "room"),
    [({}, 8), ({"generated_tokens": 868}, 5), ({"minutes": 5.5, "replies": 100}, 3)],
)
def test_a_batch_is_cut_to_the_tokens_and_minutes_that_are_left(
    memory: Memory, talker: Student, spent: dict[str, float], room: int
) -> None:
    """A candidate is asked 3 probes, 12 tokens each; 3 more replies go to the prompt-only arm, and
    16 are kept for the confirmation. A reply takes 0.055 minutes."""
    budget = Budget(generated_tokens=1300, minutes=7.1)
    context = build(memory, talker, Choosing(SPACE), settings(budget=budget))
    update = plan_search({**FRESH, "spent": spent}, context)
    assert len(update["pending"]) == room


@pytest.mark.parametrize(
    "spent", [{"candidates": 5}, {"generated_tokens": 1200}, {"minutes": 6.9, "replies": 100}]
)
def test_a_batch_without_room_is_refused(
    memory: Memory, talker: Student, spent: dict[str, float]
) -> None:
    budget = Budget(candidates=6, generated_tokens=1300, minutes=7.1)
    context = build(memory, talker, Choosing(SPACE), settings(budget=budget))
    with pytest.raises(OutOfBudget, match="has no room for what comes next"):
        plan_search({**FRESH, "spent": spent}, context)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers": (0, 7)}, "layer 7; this round has vectors for 0, 1"),
        ({"sites": ("reply", "start")}, "site start; this round has vectors for reply"),
        ({"sites": ("../secret",)}, "site ../secret"),
    ],
)
def test_a_space_without_vectors_is_refused(
    memory: Memory, talker: Student, change: dict[str, Any], words: str
) -> None:
    space = SearchSpace.model_validate(SPACE.model_dump() | change)
    context = build(memory, talker, Choosing(space), settings())
    with pytest.raises(ControllerError, match="Controller scripted") as refused:
        plan_search(FRESH, context)
    assert words in str(refused.value)
    assert memory.runs.events(context.run_id) == []
