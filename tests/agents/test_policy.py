"""Which candidate is better, and what comes next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsteer.agents.policy import (
    SAFE,
    chance,
    fruitless,
    meets,
    next_action,
    promising,
    prospect,
    recall_thresholds,
    utility,
)
from selfsteer.agents.types import (
    CandidateResult,
    Decision,
    Goal,
    RoundSummary,
    SiteEvidence,
    Thresholds,
)

GOAL = Goal(text="sound grumpy", thresholds=Thresholds())
THRESHOLDS = GOAL.thresholds


def result(**changes: object) -> CandidateResult:
    values = {
        "site": "reply",
        "layer": 2,
        "operator": "add",
        "strength": 0.8,
        "steerability": 0.95,
        "coherence": 1.1,
        "broken": 0.04,
        "repetition": 0.1,
        "retention": None,
        "n": 100,
    }
    return CandidateResult.model_validate(values | changes)


GOOD, BAD = result(), result(steerability=0.4)

results = st.builds(
    result,
    steerability=st.floats(0, 1),
    coherence=st.floats(0.2, 8),
    broken=st.floats(0, 1),
    repetition=st.floats(0, 1),
    retention=st.none() | st.floats(0, 1.5),
)
thresholds = st.builds(
    Thresholds,
    steerability=st.floats(0, 1),
    coherence=st.floats(1, 10),
    broken=st.floats(0, 1),
    retention=st.floats(0, 1),
)


def summary(best: CandidateResult | None, number: int = 0, kept: int = 40) -> RoundSummary:
    return RoundSummary(number=number, pairs_kept=kept, pairs_sampled=96, best=best)


def evidence(*areas: float, site: str = "reply") -> list[SiteEvidence]:
    return [
        SiteEvidence(site=site, layer=layer, norm=1, auroc=area, effect_size=1, residual_norm=3)
        for layer, area in enumerate(areas)
    ]


@given(results, thresholds, st.floats(0, 0.3))
def test_utility_never_falls_when_a_figure_improves(
    candidate: CandidateResult, limits: Thresholds, better: float
) -> None:
    improved = [
        {"steerability": min(1.0, candidate.steerability + better)},
        {"coherence": candidate.coherence / (1 + better)},
        {"broken": max(0.0, candidate.broken - better)},
        {"repetition": max(0.0, candidate.repetition - better)},
    ]
    if candidate.retention is not None:
        improved.append({"retention": candidate.retention + better})
    for change in improved:
        other = candidate.model_copy(update=change)
        assert utility(other, limits) >= utility(candidate, limits) - 1e-12


def test_of_two_that_steer_alike_the_gentler_one_is_better() -> None:
    assert utility(result(broken=0.01), THRESHOLDS) > utility(GOOD, THRESHOLDS)
    assert utility(result(repetition=0.02), THRESHOLDS) > utility(GOOD, THRESHOLDS)


def test_a_cost_beyond_the_limits_outweighs_steerability() -> None:
    strange = result(steerability=1.0, coherence=2.5)
    strong_but_broken = result(steerability=1.0, broken=0.2)
    forgetful = result(steerability=1.0, retention=0.6)
    moderate = result(steerability=0.88, coherence=1.15, retention=0.97)
    assert utility(strange, THRESHOLDS) < utility(moderate, THRESHOLDS)
    assert utility(strong_but_broken, THRESHOLDS) < utility(moderate, THRESHOLDS)
    assert utility(forgetful, THRESHOLDS) < utility(moderate, THRESHOLDS)


@given(results, thresholds)
def test_what_is_promising_would_be_accepted(
    candidate: CandidateResult, limits: Thresholds
) -> None:
    """The margins ask for more than the thresholds, never for less."""
    if promising(candidate, limits):
        assert meets(candidate, limits)


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ({"steerability": 0.85, "coherence": 1.25, "retention": 0.9}, True),
        ({"steerability": 0.849}, False),
        ({"coherence": 1.251}, False),
        ({"broken": 0.05}, True),
        ({"broken": 0.051}, False),
        ({"retention": 0.899}, False),
        ({"retention": None}, True),
    ],
)
def test_a_threshold_is_met_when_it_is_reached(change: dict[str, float], passes: bool) -> None:
    assert meets(result(**change), THRESHOLDS) == passes


@pytest.mark.parametrize("change", [{"steerability": 0.86}, {"coherence": 1.24}, {"broken": 0.045}])
def test_development_figures_need_a_margin(change: dict[str, float]) -> None:
    assert meets(result(**change), THRESHOLDS)
    assert not promising(result(**change), THRESHOLDS)


def test_a_remembered_vector_is_dropped_only_where_the_look_speaks_against_it() -> None:
    few, many = (recall_thresholds(THRESHOLDS, n) for n in (100, 10_000))
    assert few.steerability == pytest.approx(0.85 - 1.96 * 0.0357, abs=1e-3)
    assert few.broken == pytest.approx(0.05 + 1.96 * 0.0218, abs=1e-3)
    assert few.steerability < many.steerability < THRESHOLDS.steerability
    assert few.broken > many.broken > THRESHOLDS.broken
    assert (few.coherence, few.retention) == (THRESHOLDS.coherence, THRESHOLDS.retention)
    assert recall_thresholds(THRESHOLDS, 1).steerability == pytest.approx(0.75)
    strict = Thresholds(steerability=1, broken=0)
    assert recall_thresholds(strict, 10) == strict


def test_a_promising_candidate_is_confirmed() -> None:
    decision = next_action(GOAL, [summary(GOOD)])
    assert decision.action == "confirm"
    assert decision.candidate == GOOD.spec()


def test_pairs_that_fail_are_sampled_again_once() -> None:
    barren = summary(None, kept=3)
    first = next_action(GOAL, [barren])
    assert first.action == "revise_data"
    assert "3 of 96" in first.reason
    assert next_action(GOAL, [barren, barren]).action == "give_up"
    assert next_action(GOAL, [barren, summary(BAD), barren]).action == "revise_data"
    assert next_action(GOAL, [summary(BAD), barren]).action == "revise_data"


@pytest.mark.parametrize("bests", [[BAD], [BAD, result(steerability=0.6)], [BAD, BAD], [None, BAD]])
def test_a_poor_round_is_followed_by_new_data(bests: list[CandidateResult | None]) -> None:
    assert next_action(GOAL, [summary(best) for best in bests]).action == "revise_data"


def test_costs_need_no_margin_where_nothing_comes_after() -> None:
    near = THRESHOLDS.broken - 0.001
    for tight in (
        GOOD.model_copy(update={"broken": near}),
        GOOD.model_copy(update={"coherence": THRESHOLDS.coherence}),
    ):
        assert not promising(tight, THRESHOLDS)
        assert promising(tight, THRESHOLDS, last=True)
    for bad in (
        GOOD.model_copy(update={"steerability": THRESHOLDS.steerability}),
        GOOD.model_copy(update={"broken": THRESHOLDS.broken + 0.001}),
    ):
        assert not promising(bad, THRESHOLDS, last=True)


BETTER, BEST = result(steerability=0.5), result(steerability=0.6)


@pytest.mark.parametrize(
    ("bests", "nothing"),
    [
        ([BAD], False),
        ([None], False),
        ([None, None], True),
        ([BAD, BAD], False),  # the first of them brought something
        ([BAD, BAD, BAD], True),
        ([BAD, None, BAD], True),
        ([BAD, BETTER, BAD], False),
        ([BAD, BAD, BETTER], False),
        ([BAD, BETTER, BETTER, BEST], False),
        ([BAD, BETTER, BAD, BETTER], True),
        ([None, BAD], False),
        ([None, BAD, None], False),
        ([BETTER, BAD, result(steerability=0.504)], True),
    ],
)
def test_two_rounds_in_a_row_bring_nothing(
    bests: list[CandidateResult | None], nothing: bool
) -> None:
    assert fruitless([summary(best) for best in bests], THRESHOLDS) == nothing


def test_a_goal_that_was_split_begins_anew() -> None:
    split = summary(BAD).model_copy(
        update={"decision": Decision(action="split", parts=("one", "two"))}
    )
    assert not fruitless([summary(BAD), split, summary(None)], THRESHOLDS)
    assert fruitless([summary(BAD), split, summary(None), summary(None)], THRESHOLDS)
    assert not fruitless([summary(BAD), split, summary(BAD), summary(BAD)], THRESHOLDS)


@given(st.lists(st.none() | results, min_size=1, max_size=5), thresholds)
def test_every_history_leads_to_a_decision_with_a_reason(
    bests: list[CandidateResult | None], limits: Thresholds
) -> None:
    history = [summary(best, number) for number, best in enumerate(bests)]
    goal = GOAL.model_copy(update={"thresholds": limits})
    decision = next_action(goal, history)
    assert isinstance(decision, Decision)
    assert decision.reason
    assert (decision.candidate is not None) == (decision.action == "confirm")
    if decision.action == "confirm":
        assert bests[-1] is not None
        assert meets(bests[-1], limits)


@pytest.mark.parametrize(
    ("steerability", "broken", "looked", "n"),
    [(0.9, 0.02, 192, 384), (0.87, 0.03, 192, 192), (0.86, 0.0, 64, 384), (0.95, 0.04, 384, 384)],
)
def test_the_chance_is_how_often_another_look_passes(
    steerability: float, broken: float, looked: int, n: int
) -> None:
    """Against draws: what the rates may be after one look, and then what another one finds."""
    rng = np.random.default_rng(0)
    passes = np.ones(20_000, dtype=bool)
    for rate, limit, at_least in (
        (steerability, THRESHOLDS.steerability, True),
        (broken, THRESHOLDS.broken, False),
    ):
        truth = rng.beta(rate * looked + 1, (1 - rate) * looked + 1, size=passes.size)
        found = rng.binomial(n, truth) / n
        passes &= found >= limit if at_least else found <= limit
    one = result(steerability=steerability, broken=broken, n=looked)
    assert chance(one, THRESHOLDS, n) == pytest.approx(passes.mean(), abs=0.015)


@given(results, thresholds, st.integers(1, 1000))
def test_the_chance_is_a_probability_and_rises_with_what_is_better(
    one: CandidateResult, limits: Thresholds, n: int
) -> None:
    likely = chance(one, limits, n)
    assert 0 <= likely <= 1
    if 0.5 <= one.steerability <= 0.9:
        assert chance(one.model_copy(update={"steerability": 0.95}), limits, n) >= likely - 1e-9
    if 0.1 <= one.broken <= 0.5:
        assert chance(one.model_copy(update={"broken": 0.05}), limits, n) >= likely - 1e-9


def test_those_that_are_safe_are_ranked_by_what_they_do() -> None:
    safe = result(steerability=0.92, broken=0.0, n=384)
    better = result(steerability=0.96, broken=0.0, n=384)
    bold = result(steerability=0.97, broken=0.04, n=384)
    useless = result(steerability=1.0, broken=0.0, coherence=1.24, n=384)
    ranked = sorted(
        [bold, useless, safe, better], key=lambda one: prospect(one, THRESHOLDS, 384), reverse=True
    )
    assert ranked == [better, safe, bold, useless]
    assert prospect(safe, THRESHOLDS, 384)[0] == SAFE
    assert prospect(useless, THRESHOLDS, 384)[0] == 0
