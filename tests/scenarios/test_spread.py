"""The spread of vectors among simulated users, with gains that were measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from selfsteer.app.report.study_page import write_spread_page
from selfsteer.errors import ScenarioError
from selfsteer.scenarios.experiments import spread as module
from selfsteer.scenarios.experiments.spread import MESSAGES, measured_gains, run_spread
from selfsteer.scenarios.experiments.user_vectors.people import people
from selfsteer.scenarios.experiments.user_vectors.telling import messages_of
from selfsteer.steering.users.dose import user_plan
from selfsteer.steering.users.objective import NOTHING, Condition, fit_turns
from tests.known import pocket, pocket_encoder


@pytest.fixture(scope="module")
def study() -> module.SpreadStudy:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "fit_encoder", lambda *_, **__: pocket_encoder())
        return run_spread(
            pocket(), users=6, population=50, steps=40, repetitions=8, report=lambda *_: None
        )


def test_gains_are_of_each_vector_for_each_user() -> None:
    two = people(2, seed=71)
    encoder = pocket_encoder()
    own = encoder.vectors(pocket(), [person.past.latest(MESSAGES) for person in two])
    judged = messages_of(two)
    found = measured_gains(pocket(), judged, own, lambda *_: None)
    for user in range(2):
        for place, vector in enumerate(own):
            plan = Condition(user_plan(vector))
            [[nothing, fit]] = fit_turns(pocket(), [judged[user]], [[NOTHING, plan]])
            assert found[user, place] == pytest.approx(fit.gain(nothing), abs=1e-4)


def test_figures_follow_from_the_gains(study: module.SpreadStudy) -> None:
    assert study.gains.shape == (6, 7)
    assert study.own == pytest.approx(np.diag(study.gains).mean())
    assert study.population == pytest.approx(study.gains[:, 6].mean())
    assert study.best >= max(study.own, study.population)
    imitation, drift = study.runs
    assert (imitation.selection, drift.selection) == (20.0, 0.0)
    for run, outcome in ((imitation, study.imitation), (drift, study.drift)):
        assert run.shares.shape == (8, 41, 7)
        assert outcome.gain[0] == pytest.approx(run.gain[:, -1].mean())
        assert outcome.effective[0] == pytest.approx(run.effective[:, -1].mean())
    assert study.imitation.gain[0] > study.start


def test_the_study_becomes_json_and_a_page(study: module.SpreadStudy, tmp_path: Path) -> None:
    told = json.loads(json.dumps(study.as_json(), allow_nan=False))
    assert len(told["shares"]["drift"]) == 41
    assert np.allclose(told["gains"], study.gains, atol=1e-5)
    write_spread_page(study, tmp_path / "spread.html")
    page = (tmp_path / "spread.html").read_text()
    assert "How do user vectors spread?" in page and page.count("<svg") + page.count("data:") >= 4


def test_too_few_users_are_refused() -> None:
    with pytest.raises(ScenarioError, match="5 users and 50"):
        run_spread(pocket(), users=3, report=lambda *_: None)
