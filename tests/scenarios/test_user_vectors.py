"""The study of user vectors, small: every figure is there, and the bars follow from them."""

from __future__ import annotations

import json

import pytest

from selfsteer.errors import ScenarioError
from selfsteer.scenarios.experiments.user_vectors.bars import study_bars
from selfsteer.scenarios.experiments.user_vectors.measures import Gain
from selfsteer.scenarios.experiments.user_vectors.people import crowd, others, people
from selfsteer.scenarios.experiments.user_vectors.study import COLD_START, run_study
from selfsteer.steering.users.derivation.registry import METHODS
from tests.known import pocket


def test_a_small_study_has_every_figure() -> None:
    stages: list[str] = []
    # Fifty users are the fewest that a map is learned from outside of studies.
    study = run_study(
        pocket(), users=25, population=60, seed=1, report=lambda name, *_: stages.append(name)
    )
    assert set(study.methods) == set(METHODS)
    assert set(study.cold_start) == set(COLD_START)
    assert set(study.kinds) == {"drifting", "drifting, recency", "noisy", "adversarial"}
    assert study.arms.own.mean > study.arms.population.mean > study.arms.shuffled.mean
    assert study.kinds["adversarial"].mean < 0
    assert study.basis.gains[-1] > study.basis.gains[0]
    assert len({*stages}) > 4
    told = json.loads(json.dumps(study.as_json(), allow_nan=False))
    assert told["arms"]["own"]["mean"] == study.arms.own.mean
    bars = {bar.name: bar for bar in study_bars(study)}
    assert bars["own vector better than shuffled ones"].value == study.told_apart


def test_nobody_is_in_two_groups_and_others_have_other_profiles() -> None:
    judged = people(30, seed=2)
    shown = {turn.words for person in judged for turn in person.future.turns}
    assert len(judged[0].past.turns) == 20 and len(judged[0].future.turns) == 10
    for number, person in enumerate(judged):
        strangers = others(judged, number, 20)
        assert number not in strangers
        assert all(judged[place].user.profile != person.user.profile for place in strangers)
    assert len(crowd(3, seed=0)) == 3
    assert shown


def test_differences_are_paired() -> None:
    one, other = Gain.of([1.0, 2.0, 6.0]), Gain.of([0.5, 1.5, 5.5])
    found = one.over(other)
    assert found.mean == 0.5
    assert tuple(found.interval) == (0.5, 0.5)


def test_too_few_users_are_refused() -> None:
    with pytest.raises(ScenarioError, match="25 users"):
        run_study(pocket(), users=5, population=30, report=lambda *_: None)
