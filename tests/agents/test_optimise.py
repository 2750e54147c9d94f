"""Candidates: inside the space, never twice, the same for the same seed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfsteer.agents import optimise
from selfsteer.agents.optimise import (
    ABLATE_STRENGTH,
    GRID_STRENGTHS,
    beside,
    constraints,
    first_batch,
    going_on,
    new_ground,
    next_batch,
    within,
)
from selfsteer.agents.search_spaces import search_space
from selfsteer.agents.sites import SITES
from selfsteer.agents.types import CandidateResult, CandidateSpec, SearchSpace, Thresholds
from tests.agents.test_policy import evidence, summary

THRESHOLDS = Thresholds()
SPACE = SearchSpace(
    sites=("reply",),
    layers=(0, 1, 2, 3),
    operators=("add", "ablate"),
    low=0.3,
    high=1.8,
    trials=30,
)


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    low = draw(st.floats(1e-3, 3))
    return SearchSpace(
        sites=tuple(draw(st.permutations(sorted(SITES)))[: draw(st.integers(1, 3))]),
        layers=tuple(draw(st.lists(st.integers(-1, 40), min_size=1, max_size=12, unique=True))),
        operators=tuple(draw(st.permutations(["add", "ablate"]))[: draw(st.integers(1, 2))]),
        low=low,
        high=low * draw(st.floats(1, 20)),
        trials=draw(st.integers(1, 60)),
    )


def candidate(operator: str, layer: int, strength: float) -> CandidateSpec:
    return CandidateSpec(site="reply", layer=layer, operator=operator, strength=strength)


def measured(spec: CandidateSpec) -> CandidateResult:
    """A made-up response with its best point at layer 2, strength 1."""
    steerability = max(0.0, 0.9 - abs(spec.layer - 2) * 0.2 - abs(spec.strength - 1) * 0.4)
    return CandidateResult(
        **spec.model_dump(),
        steerability=steerability,
        coherence=1.1,
        broken=0.0,
        repetition=0.0,
        n=8,
    )


def inside(spec: CandidateSpec, space: SearchSpace) -> bool:
    low, high = space.low, space.high
    if spec.operator == "ablate":
        low, high = 0.0, 1.0
    return (
        spec.site in space.sites
        and spec.layer in space.layers
        and spec.operator in space.operators
        and low <= spec.strength <= high
        and spec.strength > 0
    )


@given(spaces())
def test_the_grid_is_inside_the_space_and_within_the_trials(space: SearchSpace) -> None:
    grid = first_batch(space)
    assert 1 <= len(grid) <= space.trials
    assert all(inside(spec, space) for spec in grid)
    if space.low * 1.2 < space.high:
        assert len(set(grid)) == len(grid)


def test_the_grid_has_every_layer_at_every_strength_where_there_is_room() -> None:
    grid = first_batch(SPACE)
    assert len(grid) == 4 * (GRID_STRENGTHS + 1)
    for layer in SPACE.layers:
        strengths = sorted(s.strength for s in grid if s.layer == layer and s.operator == "add")
        assert strengths[0] == pytest.approx(SPACE.low, rel=0.01)
        assert strengths[-1] == pytest.approx(SPACE.high, rel=0.01)
        assert candidate("ablate", layer, ABLATE_STRENGTH) in grid


def test_the_grid_begins_in_the_middle_and_at_every_site() -> None:
    """Where a search is cut short, it has seen what is likeliest."""
    space = SPACE.model_copy(
        update={"sites": ("reply", "start"), "layers": (5, 1, 3, 2, 4), "operators": ("add",)}
    )
    whole = first_batch(space.model_copy(update={"trials": 40}))
    assert len(whole) == 40
    inner = {s.strength for s in whole} - {space.low, space.high}
    assert {(s.site, s.layer, s.strength) for s in whole[:4]} == {
        (site, 3, strength) for site in space.sites for strength in inner
    }
    assert {s.layer for s in whole[-8:]} == {1, 5}


def test_a_range_of_one_strength_is_tried_once_at_every_place() -> None:
    space = SearchSpace(sites=("reply",), layers=(0, 1), low=0.4, high=0.4, trials=20)
    assert sorted(spec.layer for spec in first_batch(space)) == [0, 1]


def test_every_site_gets_the_same_grid() -> None:
    space = SPACE.model_copy(update={"sites": ("reply", "start"), "trials": 40})
    grid = first_batch(space)
    by_site = [[s.model_dump(exclude={"site"}) for s in grid if s.site == x] for x in space.sites]
    assert by_site[0] == by_site[1]
    assert len(grid) == 40


def test_what_goes_on_has_no_place_in_the_grid_beside_what_stops_early() -> None:
    space = SPACE.model_copy(update={"sites": ("lead", "reply", "start"), "trials": 40})
    assert first_batch(space) == first_batch(space.model_copy(update={"sites": ("lead", "start")}))
    alone = first_batch(space.model_copy(update={"sites": ("reply",)}))
    assert {spec.site for spec in alone} == {"reply"}


def test_what_goes_on_is_looked_at_behind_what_stops_early() -> None:
    space = SPACE.model_copy(update={"sites": ("lead", "reply", "start")})
    lead, start = (
        CandidateSpec(site=site, layer=1, operator="add", strength=0.5)
        for site in ("lead", "start")
    )
    reply = lead.model_copy(update={"site": "reply"})
    assert going_on(space, [start, lead]) == [start, lead, reply]
    assert going_on(space, [reply]) == [reply]
    assert going_on(space.model_copy(update={"sites": ("lead",)}), [lead]) == [lead]


def test_a_deep_student_is_searched_over_its_whole_depth() -> None:
    """Where the trials do not suffice for every layer, some layers everywhere get the grid."""
    grid = first_batch(
        SearchSpace(sites=("reply",), layers=tuple(range(24)), low=0.3, high=1.8, trials=24)
    )
    layers = sorted({spec.layer for spec in grid})
    assert len(grid) == 24
    assert layers[0] < 4
    assert layers[-1] >= 20
    assert all(sum(s.layer == layer for s in grid) == GRID_STRENGTHS for layer in layers)


@settings(max_examples=40, deadline=None)
@given(spaces(), st.integers(0, 2**31), st.integers(1, 6))
def test_later_batches_are_inside_and_new(space: SearchSpace, seed: int, count: int) -> None:
    results = [measured(spec) for spec in first_batch(space)]
    batch = next_batch(space, results, THRESHOLDS, count=count, seed=seed)
    assert len(batch) <= count
    assert len(set(batch)) == len(batch)
    assert all(inside(spec, space) for spec in batch)
    assert not set(batch) & {result.spec() for result in results}


def test_later_batches_are_a_function_of_results_and_seed() -> None:
    results = [measured(spec) for spec in first_batch(SPACE)]
    first, again, other = (
        next_batch(SPACE, results, THRESHOLDS, count=5, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_the_search_goes_where_results_are_good() -> None:
    results = [measured(spec) for spec in first_batch(SPACE)]
    for turn in range(4):
        batch = next_batch(SPACE, results, THRESHOLDS, count=4, seed=turn)
        results += [measured(spec) for spec in batch]
    asked = results[len(first_batch(SPACE)) :]
    assert sum(spec.layer in (1, 2, 3) for spec in asked) > len(asked) / 2
    assert max(results, key=lambda r: r.steerability).steerability > 0.8


def test_a_limit_is_a_constraint() -> None:
    fine = measured(candidate("add", 1, 0.5))
    assert all(value <= 0 for value in constraints(fine, THRESHOLDS).values())
    assert set(constraints(fine, THRESHOLDS)) == {"coherence", "broken"}
    for change, name in (
        ({"coherence": 1.26}, "coherence"),
        ({"broken": 0.06}, "broken"),
        ({"retention": 0.89}, "retention"),
    ):
        past = constraints(fine.model_copy(update=change), THRESHOLDS)
        assert [key for key, value in past.items() if value > 0] == [name]
    at_the_limits = {"coherence": 1.25, "broken": 0.05, "retention": 0.9}
    edge = constraints(fine.model_copy(update=at_the_limits), THRESHOLDS)
    assert all(value <= 0 for value in edge.values())


@pytest.mark.parametrize("cost", [{"broken": 0.3}, {"coherence": 1.6}, {"retention": 0.5}])
def test_what_costs_too_much_is_not_followed_however_well_it_steers(
    monkeypatch: pytest.MonkeyPatch, cost: dict[str, float]
) -> None:
    """Layer 3 steers best and is past a limit; layer 1 does less, within them."""
    # No penalty for it, so that nothing but the constraint tells the two layers apart.
    monkeypatch.setattr(optimise, "utility", lambda result, _: result.steerability)
    asked = []
    for turn in range(5):
        results = []
        for spec in first_batch(SPACE):
            found = measured(spec).model_copy(update={"steerability": 0.3, "retention": 1.0})
            if spec.layer == 1:
                found = found.model_copy(update={"steerability": 0.5})
            if spec.layer == 3:
                found = found.model_copy(update={"steerability": 1.0, **cost})
            results.append(found)
        asked += next_batch(SPACE, results, THRESHOLDS, count=6, seed=turn)
    layers = [spec.layer for spec in asked]
    assert layers.count(1) > 2 * layers.count(3)


@pytest.mark.parametrize("failures", range(4))
def test_the_widened_spaces_of_later_rounds_can_be_searched(failures: int) -> None:
    space = search_space(evidence(0.9, 0.9), [summary(None)] * failures)
    results = [measured(spec) for spec in first_batch(space)]
    assert next_batch(space, results, THRESHOLDS, count=3, seed=0)


def test_a_closer_look_takes_doses_on_both_sides_within_the_space() -> None:
    middle = CandidateSpec(site="reply", layer=1, operator="add", strength=0.5)
    assert [spec.strength for spec in beside(SPACE, [middle])] == [0.417, 0.5, 0.6]
    top = middle.model_copy(update={"strength": SPACE.high})
    assert [spec.strength for spec in beside(SPACE, [top])] == [
        float(f"{SPACE.high / 1.2:.3g}"),
        SPACE.high,
    ]
    assert beside(SPACE, [middle, middle]) == beside(SPACE, [middle])


def test_ground_that_was_searched_is_not_searched_again() -> None:
    grid = [measured(spec) for spec in first_batch(SPACE)]
    assert new_ground(SPACE, grid) == []
    assert new_ground(SPACE, []) == first_batch(SPACE)
    wider = SPACE.model_copy(
        update={"layers": (0, 1, 2, 3, 4), "low": 0.2, "high": 2.7, "trials": 60}
    )
    new = new_ground(wider, grid)
    assert [s for s in new if s.layer == 4] == [s for s in first_batch(wider) if s.layer == 4]
    old = [spec for spec in new if spec.layer < 4]
    assert {spec.operator for spec in old} == {"add"}
    assert all(spec.strength < SPACE.low or spec.strength > SPACE.high for spec in old)
    assert {spec.layer for spec in old} == {0, 1, 2, 3}


def test_results_outside_a_space_are_left_out() -> None:
    space = SPACE.model_copy(update={"layers": (1, 2), "low": 0.5, "high": 1.0})
    rows = [
        measured(candidate(operator, layer, strength))
        for operator, layer, strength in (
            ("add", 1, 0.5),
            ("add", 1, 0.4),
            ("add", 2, 1.0),
            ("add", 2, 1.1),
            ("add", 3, 0.7),
            ("ablate", 1, 1.0),
            ("ablate", 1, 0.3),
        )
    ]
    assert within(space, rows) == [rows[0], rows[2], rows[5]]
    only = space.model_copy(update={"operators": ("add",)})
    assert within(only, rows) == [rows[0], rows[2]]
    other = space.model_copy(update={"sites": ("start",)})
    assert within(other, rows) == []


@settings(max_examples=40, deadline=None)
@given(spaces(), spaces())
def test_a_search_can_go_on_from_any_other(before: SearchSpace, space: SearchSpace) -> None:
    known = within(space, [measured(spec) for spec in first_batch(before)])
    assert all(inside(spec, space) for spec in new_ground(space, known))
    if known:
        batch = next_batch(space, known, THRESHOLDS, count=3, seed=0)
        assert not set(batch) & {result.spec() for result in known}
