"""The study of user vectors, small: every figure is there, and the bars follow from them."""

from __future__ import annotations

import json
from html import unescape
from pathlib import Path

import pytest

from selfsteer.app.report.study_page import ARMS, write_study_page
from selfsteer.errors import ScenarioError
from selfsteer.scenarios.experiments.user_vectors.bars import study_bars
from selfsteer.scenarios.experiments.user_vectors.measures import Mean
from selfsteer.scenarios.experiments.user_vectors.people import crowd, others, people
from selfsteer.scenarios.experiments.user_vectors.study import COLD_START, run_study
from selfsteer.scenarios.experiments.user_vectors.telling import STRANGERS
from selfsteer.steering.users.derivation.registry import METHODS
from tests.known import pocket


def test_a_small_study_has_every_figure(tmp_path: Path) -> None:
    stages: list[str] = []
    # Fifty users are the fewest that a map is learned from outside of studies.
    study = run_study(
        pocket(), users=25, population=60, seed=1, report=lambda name, *_: stages.append(name)
    )
    assert set(study.methods) == set(METHODS)
    for measure, arms in study.measures.items():
        users = study.users if measure == "messages" else min(study.users, 60)
        for name, arm in arms.by_name.items():
            assert len(arm.users) == users
            low, high = arm.interval
            assert low <= arm.mean <= high
            if name != "own":
                ahead = arms.own_ahead[name]
                pairs = zip(arms.own.users, arm.users, strict=True)
                assert ahead.users == tuple(own - other for own, other in pairs)
    nothing = [arms.none.mean for arms in study.measures.values()]
    assert nothing == [0.0, 0.5, 0.0]
    assert study.choices.own.mean > study.choices.shuffled.mean
    assert study.reach == 91 <= study.history_tokens < study.context_tokens
    assert set(study.cold_start) == set(COLD_START)
    assert set(study.kinds) == {"drifting", "drifting, recency", "noisy", "adversarial"}
    assert study.arms.own.mean > study.arms.population.mean > study.arms.shuffled.mean
    assert study.kinds["adversarial"].mean < 0
    basis = study.basis
    assert list(basis.by_users) == list(basis.ranks) == [5, 10, 25]
    for users, one in basis.by_users.items():
        # As many vectors as there are users, or as the map has, tell them in full.
        assert one.sizes[-1] == min(users, basis.most)
        assert one.keeps in one.sizes
        assert one.interval.low <= one.interval.high
    own = sum(study.arms.own.users[:5]) / 5
    assert basis.by_users[5].gains[-1] == pytest.approx(own, abs=1e-3)
    assert basis.all.gains[-1] == pytest.approx(study.arms.own.mean, abs=1e-3)
    assert basis.all.gains[-1] > basis.all.gains[0]
    assert basis.growth.height > 0 < basis.rank_growth.height
    assert len({*stages}) > 4
    told = json.loads(json.dumps(study.as_json(), allow_nan=False))
    assert told["arms"]["own"]["mean"] == study.arms.own.mean
    ahead = told["own_ahead"]["choices"]["shuffled"]
    assert ahead["mean"] == study.choices.own_ahead["shuffled"].mean
    write_study_page(study, study_bars(study), tmp_path / "page.html")
    page = unescape((tmp_path / "page.html").read_text())
    for words in (*ARMS.values(), "own ahead by", "remembers 91", "share of choices right"):
        assert words in page
    bars = {bar.name: bar for bar in study_bars(study)}
    assert bars["own vector better than shuffled ones"].value == study.told_apart


def test_nobody_is_in_two_groups_and_others_have_other_profiles() -> None:
    judged = people(30, seed=2)
    shown = {turn.words for person in judged for turn in person.future.turns}
    assert len(judged[0].past.turns) == 20 and len(judged[0].future.turns) == 10
    for number, person in enumerate(judged):
        strangers = others(judged, number, STRANGERS)
        assert len(set(strangers)) == STRANGERS == 20
        assert number not in strangers
        assert all(judged[place].user.profile != person.user.profile for place in strangers)
    assert len(crowd(3, seed=0)) == 3
    assert shown


def test_differences_are_paired() -> None:
    one, other = Mean.of([1.0, 2.0, 6.0]), Mean.of([0.5, 1.5, 5.5])
    found = one.over(other)
    assert found.mean == 0.5
    assert tuple(found.interval) == (0.5, 0.5)


def test_too_few_users_are_refused() -> None:
    with pytest.raises(ScenarioError, match="25 users"):
        run_study(pocket(), users=5, population=30, report=lambda *_: None)
