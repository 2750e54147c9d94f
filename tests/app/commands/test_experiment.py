"""`selfsteer experiment`: what is printed, what is written, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfsteer.app.commands import experiment
from selfsteer.app.report import study_page
from selfsteer.scenarios.bars import Bar
from selfsteer.scenarios.experiments import spread
from selfsteer.scenarios.experiments.user_vectors import bars, study
from tests.app.conftest import Cli
from tests.app.doubles import one_sentence
from tests.known import pocket_encoder

SPREAD = ("experiment", "spread", "--users", 5, "--population", 50, "--steps", 10)


@pytest.fixture(autouse=True)
def learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """What users are like is learned once for all tests."""
    monkeypatch.setattr(spread, "fit_encoder", lambda *_, **__: pocket_encoder())


def test_the_spread_is_told_and_written(cli: Cli) -> None:
    told = cli(*SPREAD, "--repetitions", 4, "--out", ".")
    assert told.exit_code == 0, told.stderr
    for words in ("after imitation", "after drift", "each their own", "effective vectors"):
        assert words in told.stdout
    written = json.loads(Path("spread.json").read_text())
    assert (written["users"], written["steps"], written["repetitions"]) == (5, 10, 4)
    assert "How do user vectors spread?" in Path("spread.html").read_text()
    assert json.loads(cli(*SPREAD, "--repetitions", 4, "--json").stdout) == written


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--users", 2), "5 users and 50"),
        (("--selection", -1), "selection -1.0"),
        (("--out", "nowhere"), "There is no folder nowhere"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    cli: Cli, words: tuple[object, ...], sentence: str
) -> None:
    result = cli(*SPREAD, *words)
    assert result.exit_code == 2
    assert sentence in result.stderr


@pytest.mark.parametrize("value", [1.0, -1.0])
def test_bars_are_written_as_a_list_and_decide_the_exit_code(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    class Found:
        def as_json(self) -> dict[str, Any]:
            return {"users": 25}

    monkeypatch.setattr(study, "run_study", lambda *_, **__: Found())
    monkeypatch.setattr(bars, "study_bars", lambda _: [Bar("gain", value, 0.0)])
    monkeypatch.setattr(study_page, "write_study_page", lambda *_: None)
    told = cli("experiment", "user-vectors", "--out", ".", "--json")
    assert told.exit_code == (0 if value > 0 else 1)
    row = {"name": "gain", "value": value, "limit": 0.0, "note": "", "met": value > 0}
    assert json.loads(Path("bars/user-vectors.json").read_text()) == [row]
    assert json.loads(Path("user-vectors.json").read_text()) == {"bars": [row], "users": 25}


@pytest.mark.parametrize("name", ["spread.json", "spread.html"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(spread, "run_spread", lambda *_, **__: pytest.fail("it was run"))
    Path(name).mkdir()
    result = cli(*SPREAD, "--out", ".")
    assert result.exit_code == 2
    assert f"cannot be written to {name}" in one_sentence(result.stderr)


def test_results_are_printed_though_they_cannot_be_written_any_more(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "check_place", lambda _: None)
    Path("spread.json").mkdir()
    result = cli(*SPREAD, "--repetitions", 4, "--out", ".")
    assert result.exit_code == 2
    assert "after imitation" in result.stdout
    assert "cannot be written to spread.json" in result.stderr


def test_a_seed_that_is_none_is_refused_before_the_work(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "run_spread", lambda *_, **__: pytest.fail("it was run"))
    result = cli(*SPREAD, "--seed", -1)
    assert (result.exit_code, "--seed" in result.stderr) == (2, True)
