"""Where is searched: anew, around what led so far, or further afield."""

from __future__ import annotations

from typing import Any

import pytest

from selfsteer.agents.search_spaces import NARROW_BY, NARROW_TO, same_vectors, search_space
from selfsteer.agents.types import CandidateResult, Decision, RoundSummary, SearchSpace, Thresholds
from tests.agents.test_policy import BAD, evidence, result, summary

EVIDENCE = [*evidence(0.9, 0.8, 0.5, 0.9), *evidence(0.9, 0.8, 0.5, 0.9, site="start")]
FIRST = search_space(EVIDENCE, [])


def searched(
    action: str, *leading: CandidateResult, space: SearchSpace = FIRST, number: int = 0
) -> RoundSummary:
    """A round with its candidates, the best first, and what was decided after it."""
    method = "lda" if action == "other_method" else None
    return RoundSummary(
        number=number,
        pairs_kept=40,
        pairs_sampled=64,
        space=space,
        best=leading[0] if leading else None,
        leading=leading,
        decision=Decision.model_validate({"action": action, "method": method, "reason": "so"}),
    )


def test_a_first_search_is_what_it_was_before_there_was_a_history() -> None:
    assert (FIRST.low, FIRST.high, FIRST.trials) == (0.2, 1.6, 84)
    assert (FIRST.sites, FIRST.layers) == (("reply", "start"), (0, 1, 3))
    assert FIRST.operators == ("add",)
    both = search_space(EVIDENCE, [], operators=("add", "ablate"))
    assert both == FIRST.model_copy(update={"operators": ("add", "ablate")})


def test_a_narrowed_search_stays_around_the_best() -> None:
    ranks = [0.8, 0.7, 0.6, 0.5]
    tried = [
        result(layer=layer, strength=strength, steerability=steerability)
        for layer, strength, steerability in zip(
            (1, 3, 1, 0), (0.5, 0.8, 0.6, 1.5), ranks, strict=True
        )
    ]
    space = search_space(EVIDENCE, [searched("narrow", *tried)])
    assert (space.sites, space.layers, space.operators) == (("reply",), (1, 3), ("add",))
    assert space.low == pytest.approx(0.5 / NARROW_BY)
    assert space.high == pytest.approx(0.8 * NARROW_BY)
    assert FIRST.low < space.low < space.high < FIRST.high
    assert space.trials == FIRST.trials // 2
    assert str(NARROW_TO) in space.reason


def test_a_narrowed_search_is_never_wider_than_those_before() -> None:
    edges = [result(strength=0.2), result(strength=1.6)]
    space = search_space(EVIDENCE, [searched("narrow", *edges)])
    assert (space.low, space.high) == (0.2, 1.6)


def test_the_best_are_taken_by_the_thresholds_and_by_the_longest_look() -> None:
    lucky = result(layer=0, steerability=1.0, n=8)
    odd = result(layer=3, steerability=0.99, coherence=2.0)
    sound = [result(layer=1, steerability=s) for s in (0.9, 0.89, 0.88)]
    sound = [r.model_copy(update={"strength": 0.5 + i / 10}) for i, r in enumerate(sound)]
    history = [searched("narrow", odd, *sound, lucky)]
    assert search_space(EVIDENCE, history, Thresholds()).layers == (1,)
    lenient = Thresholds(coherence=9)
    assert search_space(EVIDENCE, history, lenient).layers == (1, 3)


def test_what_is_narrowed_twice_is_around_the_best_of_both() -> None:
    first = searched("narrow", result(layer=1, strength=0.5, steerability=0.9))
    narrow = search_space(EVIDENCE, [first])
    worse = result(layer=1, strength=0.6, steerability=0.5)
    second = searched("narrow", worse, space=narrow, number=1)
    again = search_space(EVIDENCE, [first, second])
    assert again.low == pytest.approx(0.5 / NARROW_BY)
    assert again.high == pytest.approx(0.6 * NARROW_BY)
    assert again.trials == narrow.trials // 2


def test_where_the_best_only_take_away_the_strengths_stay() -> None:
    space = search_space(EVIDENCE, [searched("narrow", result(operator="ablate", strength=1.0))])
    assert (space.operators, space.low, space.high) == (("ablate",), FIRST.low, FIRST.high)


def test_a_widened_search_has_every_layer_and_more_strengths() -> None:
    both = search_space(EVIDENCE, [], operators=("add", "ablate"))
    space = search_space(EVIDENCE, [searched("widen", BAD, space=both)])
    assert space.layers == (0, 1, 2, 3)
    assert space.reason.startswith("All layers, ")
    assert space.sites == ("reply", "start")
    assert space.operators == ("add", "ablate")
    assert space.low < FIRST.low
    assert space.high > FIRST.high
    assert space.trials == FIRST.trials


def test_what_was_narrowed_is_widened_beyond_all_that_was_searched() -> None:
    first = searched("narrow", result(layer=1, strength=0.5))
    second = searched("widen", BAD, space=search_space(EVIDENCE, [first]), number=1)
    space = search_space(EVIDENCE, [first, second])
    assert space.low < FIRST.low
    assert space.high > FIRST.high
    assert space.trials == FIRST.trials


def test_a_widened_search_of_a_deep_student_still_leaves_out_the_end() -> None:
    deep = evidence(*[0.9] * 10, *[0.5] * 20)
    space = search_space(deep, [searched("widen", BAD)])
    assert space.layers == tuple(range(24))
    assert space.reason.startswith("24 of 30 layers, ")


@pytest.mark.parametrize("action", ["revise_data", "other_method", "give_up"])
def test_other_vectors_are_searched_anew(action: str) -> None:
    history = [searched("narrow", result(layer=1)), searched(action, result(layer=1), number=1)]
    space = search_space(EVIDENCE, history)
    assert space.layers == FIRST.layers
    assert space.low < FIRST.low


def test_only_the_rounds_behind_each_other_have_the_same_vectors() -> None:
    rows: list[Any] = [searched(a, BAD) for a in ("narrow", "revise_data", "widen", "narrow")]
    assert same_vectors(rows) == rows[2:]
    assert same_vectors(rows[:2]) == []
    assert same_vectors([]) == []
    barren = rows[2].model_copy(update={"space": None})
    assert same_vectors([barren]) == []


def test_the_search_keeps_to_layers_with_evidence() -> None:
    space = search_space(evidence(0.5, 0.9, 0.6, 0.8), [])
    assert space.layers == (1, 3)
    assert 0 < space.low < space.high
    assert "2 of 4" in space.reason


def test_the_search_keeps_to_sites_with_evidence() -> None:
    both = [*evidence(0.9, 0.5), *evidence(0.5, 0.9, site="start")]
    space = search_space(both, [])
    assert (space.sites, space.layers) == (("reply", "start"), (0, 1))
    start_only = [*evidence(0.5, 0.5), *evidence(0.5, 0.9, site="start")]
    assert search_space(start_only, []).sites == ("start",)


def test_without_evidence_every_layer_is_tried() -> None:
    assert search_space(evidence(0.5, 0.4, 0.6), []).layers == (0, 1, 2)


def test_the_last_layers_of_a_deep_student_are_left_out() -> None:
    deep = search_space(evidence(*[0.9] * 30), []).layers
    assert deep == tuple(range(24))
    only_last = evidence(*[0.5] * 28, 0.9, 0.9)
    assert search_space(only_last, []).layers == (28, 29)


def test_every_failed_round_widens_the_search_with_other_vectors() -> None:
    spaces = [search_space(evidence(0.9), [summary(BAD)] * count) for count in range(3)]
    assert spaces[0].low > spaces[1].low > spaces[2].low
    assert spaces[0].high < spaces[1].high < spaces[2].high
