"""The demo on a student that knows nothing: everything is measured, and the bars are missed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from selfsteer.app import demo as module
from selfsteer.app.commands import demo as command
from selfsteer.app.demo import run_demo
from selfsteer.app.inputs import Inputs
from selfsteer.app.report.data import report_replies
from selfsteer.memory.store import Memory
from selfsteer.pocket.showcase import OracleFigures, draw_goals
from selfsteer.steering.metrics.intervals import wilson
from selfsteer.steering.model import Student
from tests.agents.doubles import EASY, EFFORT, Scripted, settings
from tests.app.conftest import Cli


class Goal:
    """Stands for a goal of the showcase: its oracle counts replies that begin with a letter."""

    def __init__(self, text: str, letter: str) -> None:
        self.text, self.letter = text, letter

    def figures(self, replies: Sequence[str]) -> OracleFigures:
        found = sum(reply.startswith(self.letter) for reply in replies)
        return OracleFigures(expressed=found, well_formed=sum(map(bool, replies)), n=len(replies))


GOALS = [Goal("begin with an A", "a"), Goal("start with the letter B", "b")]


@pytest.fixture
def small(
    talker: Student, few_probes: object, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[bool]]:
    """Two goals, a scripted controller, and little effort; records whether memory was used."""
    used: list[bool] = []

    def cheap(goal: str, seed: int, *, use_memory: bool) -> Any:
        used.append(use_memory)
        return settings(goal=goal, seed=seed, use_memory=use_memory, thresholds=EASY)

    monkeypatch.setattr(module, "_settings", cheap)
    monkeypatch.setattr(module, "SelfController", lambda student: Scripted())
    monkeypatch.setattr(module, "draw_goals", lambda seed: GOALS)
    monkeypatch.setattr(module, "_processes", lambda goals, inputs: 1)  # where the doubles are
    monkeypatch.setattr(command, "load_student", lambda *_: talker)
    yield used


def test_the_oracle_sees_the_report_probes_of_every_arm(
    memory: Memory, talker: Student, small: list[bool]
) -> None:
    result = run_demo(lambda: talker, memory, "talker", 0)
    for outcome, goal in zip(result.goals, GOALS, strict=True):
        replies = report_replies(memory, outcome.run_id)
        assert replies is not None
        steered = sum(reply.startswith(goal.letter) for reply in replies.arms["steered"])
        assert outcome.steered is not None
        assert outcome.steered.value == steered / outcome.n
        assert outcome.steered.interval == wilson(steered, outcome.n)
        assert outcome.accepted
        assert 10 < outcome.candidates <= 10 + 5 * EFFORT.refined  # doses, and to the end
        assert outcome.n == len(replies.prompts)
    assert result.seconds >= sum(outcome.seconds for outcome in result.goals)


def test_the_goals_start_from_nothing_and_one_is_recalled(
    memory: Memory, talker: Student, small: list[bool]
) -> None:
    result = run_demo(lambda: talker, memory, "talker", 0)
    assert small == [False, False, True]
    recall = result.recall
    assert recall is not None
    assert recall.recalled
    assert recall.accepted
    assert recall.goal == result.goals[0].goal
    first = memory.runs.get(result.goals[0].run_id)
    assert recall.first_seconds == first.seconds
    assert recall.seconds == memory.runs.get(recall.run_id).seconds
    assert report_replies(memory, recall.run_id) is None
    assert recall.ratio == recall.seconds / recall.first_seconds


def test_the_command_prints_one_object_and_writes_pages_and_bars(
    cli: Cli, small: list[bool], tmp_path: Path
) -> None:
    result = cli("demo", "--seed", 4, "--json")
    assert result.exit_code == 1, result.stderr
    told = json.loads(result.stdout)
    assert list(told) == ["goals", "seed", "recall", "passed"]
    assert (
        list(told["goals"][0])
        == (
            "goal base prompt_only steered accepted well_formed coherence retention n interval "
            "layer strength operator candidates seconds"
        ).split()
    )
    assert told["seed"] == 4
    assert told["passed"] is False
    assert "missed: begin with an A steered expression" in result.stderr
    pages = list(tmp_path.glob("build/demo/*/report-*.html"))
    assert len(pages) == 3
    assert all(page.name in result.stderr for page in pages)
    rows = json.loads((tmp_path / "build/bars/demo.json").read_text())
    assert {tuple(row) for row in rows} == {("name", "value", "limit", "met")}
    assert len(rows) == 5 * 2 + 3


def test_people_get_a_table_and_the_place_of_the_pages(
    cli: Cli, small: list[bool], tmp_path: Path
) -> None:
    result = cli("demo", "--db", tmp_path / "mine.db")
    assert "begin with an A" in result.stdout
    assert "accepted from memory in" in result.stdout
    assert "reports:\n  build/demo/" in result.stdout
    assert (tmp_path / "mine.db").exists()


def test_a_goal_that_came_to_nothing_is_shown_as_such(
    memory: Memory, talker: Student, small: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module, "SelfController", lambda student: Scripted(score=lambda sample: 0.0)
    )
    result = run_demo(lambda: talker, memory, "talker", 0)
    outcome = result.goals[0]
    assert (outcome.steered, outcome.n, outcome.layer, outcome.accepted) == (None, 0, None, False)
    assert result.recall is None
    assert outcome.to_json()["interval"] is None


@pytest.mark.parametrize(
    ("cores", "device", "processes"),
    [(1, "cpu", 1), (2, "cpu", 2), (16, "cpu", 4), (16, "cuda", 1)],
)
def test_goals_go_side_by_side_where_there_are_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, device: str, processes: int
) -> None:
    monkeypatch.setattr(module.os, "cpu_count", lambda: cores)
    inputs = Inputs(student="pocket", device=device, dtype="float32")
    assert module._processes(4, inputs) == processes


def test_the_seed_draws_the_goals() -> None:
    assert draw_goals(1) == draw_goals(1)
    assert draw_goals(1) != draw_goals(2)
