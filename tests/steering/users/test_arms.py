"""Arms side by side: each measure by hand, averages over conditions, paired intervals."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from selfsteer.steering.metrics.intervals import bootstrap_mean
from selfsteer.steering.plan import Plan
from selfsteer.steering.prompts import Message
from selfsteer.steering.users.arms import measurable, score_arms
from selfsteer.steering.users.history import Choice, History, Rated, Turn
from selfsteer.steering.users.objective import (
    NOTHING,
    TURN,
    Condition,
    choice_scores,
    fit_turns,
    rank_correlation,
    rating_rewards,
)
from selfsteer.steering.users.samples import correlation_of, mean_of
from tests.steering.students import build_student, build_vector

STUDENT = build_student("llama")
ASKED = (Message(role="user", content="ab"),)
WRITES = History(turns=(Turn("hello there"), Turn("no"), Turn("maybe so")))
CHOOSES = History(
    choices=tuple(Choice(ASKED, a, b) for a, b in (("yes", "no"), ("abc", "xyz"), ("on", "it"))),
    ratings=tuple(Rated(ASKED, text, n) for n, text in enumerate(("a", "bb", "cd", "x"))),
)
ONE, OTHER = (
    Condition(Plan.single(build_vector(STUDENT, seed), 1, 0.7, selector=TURN)) for seed in (0, 1)
)
ARMS = {"none": [NOTHING], "one": [ONE], "both": [ONE, OTHER]}


def test_every_user_is_judged_by_what_there_is() -> None:
    wrote, chose = score_arms(STUDENT, [WRITES, CHOOSES], [ARMS, ARMS])
    assert measurable(WRITES) == ("messages",) and set(wrote["one"].samples) == {"messages"}
    assert measurable(CHOOSES) == ("choices", "ratings")
    assert set(chose["one"].samples) == {"choices", "ratings"}
    assert chose["one"].gain is None
    assert measurable(History(ratings=(Rated(ASKED, "a", 1), Rated(ASKED, "b", 1)))) == ()


def test_figures_are_those_of_the_objective_and_conditions_are_averaged() -> None:
    wrote, chose = score_arms(STUDENT, [WRITES, CHOOSES], [ARMS, ARMS])
    [[nothing, *fits]] = fit_turns(STUDENT, [WRITES], [[NOTHING, ONE, OTHER]])
    gains = [fit.gain(nothing) for fit in fits]
    assert wrote["one"].gain == pytest.approx(gains[0], abs=1e-4)
    assert wrote["both"].gain == pytest.approx(sum(gains) / 2, abs=1e-4)
    [hits] = choice_scores(STUDENT, [CHOOSES], [[ONE, OTHER]])
    assert chose["one"].samples["choices"].value == pytest.approx(sum(hits[0]) / 3)
    assert chose["both"].samples["choices"].value == pytest.approx(sum(hits[0] + hits[1]) / 6)
    [rewards] = rating_rewards(STUDENT, [CHOOSES], [[ONE, OTHER]])
    each = [rank_correlation(one, [0.0, 1.0, 2.0, 3.0]) for one in rewards]
    assert chose["both"].samples["ratings"].value == pytest.approx(sum(each) / 2)


def test_nothing_known_gains_nothing_by_definition() -> None:
    wrote, chose = score_arms(STUDENT, [WRITES, CHOOSES], [ARMS, ARMS])
    assert wrote["none"].gain == wrote["none"].samples["messages"].value == 0.0
    assert chose["none"].samples["choices"].value == 0.5
    assert chose["none"].samples["ratings"].value == 0.0


def test_differences_are_of_the_same_units() -> None:
    better, worse = mean_of([1.0, 5.0, -2.0]), mean_of([0.5, 4.5, -2.5])
    ahead = better.minus(worse)
    assert ahead.value == pytest.approx(0.5)
    assert tuple(ahead.interval()) == pytest.approx((0.5, 0.5))
    assert better.interval() == bootstrap_mean([1.0, 5.0, -2.0])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12))
def test_correlations_are_those_of_scipy(pairs: list[tuple[int, int]]) -> None:
    left, right = (list(map(float, column)) for column in zip(*pairs, strict=True))
    found = correlation_of([left], right)
    alike = len(set(left)) == 1 or len(set(right)) == 1
    wanted = 0.0 if alike else float(spearmanr(left, right).statistic)
    assert found.value == pytest.approx(wanted, abs=1e-9)


def test_a_drawing_in_which_all_are_alike_has_no_correlation() -> None:
    found = correlation_of([[1.0, 2.0, 3.0]], [1.0, 2.0, 3.0])
    assert found.figure(torch.tensor([[0, 1, 2], [1, 1, 1]])).tolist() == pytest.approx([1.0, 0.0])
    low, high = found.interval()
    assert -1 <= low <= high <= 1 + 1e-9
