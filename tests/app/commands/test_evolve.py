"""`selfsteer evolve`, with a tiny student and a judge of letters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfsteer.agents.types import Goal
from selfsteer.app import controllers
from selfsteer.app.commands import evolve as module
from selfsteer.app.commands import resume as resuming
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import EASY, EFFORT, GOAL, Scripted
from tests.agents.evolving_doubles import few, found
from tests.app.commands.test_run import stop_after
from tests.app.conftest import Cli
from tests.app.doubles import one_sentence

SMALL = ("--generations", 1, "--population", 4, "--strengths", "0.02:0.2")


@pytest.fixture
def scripted(talker: Student, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """The controller that `--controller scripted` names; the student has any name."""
    controller = Scripted()
    few(monkeypatch)
    monkeypatch.setitem(controllers.CONTROLLERS, "scripted", lambda *_: controller)
    for each in (module, resuming):
        monkeypatch.setattr(each, "load_student", lambda *_: talker)
    asked = module._settings
    changes = {"effort": EFFORT, "max_new_tokens": 8, "goal": Goal(text=GOAL, thresholds=EASY)}
    monkeypatch.setattr(module, "_settings", lambda *a: asked(*a).model_copy(update=changes))
    return controller


@pytest.fixture
def words(talker: Student, memory: Memory) -> tuple[Any, ...]:
    """The command, with founders that memory holds."""
    first, second = found(talker, memory)
    named = ("--from", first.id, "--from", second.id)
    return ("evolve", GOAL, *named, "--controller", "scripted", *SMALL)


def test_a_table_and_a_page(cli: Cli, scripted: Scripted, words: Any, tmp_path: Path) -> None:
    result = cli(*words)
    assert result.exit_code == 0, result.stderr
    assert "Report probes, which selection never saw" in result.stdout
    assert "accepted: steerability" in result.stdout
    [page] = tmp_path.glob("selfsteer-report-*.html")
    assert page.name in result.stdout
    assert "generation 1 of 1: best" in result.stderr
    assert "s left" in result.stderr
    run_id = page.stem.rpartition("-")[2]
    assert cli("report", run_id, "--out", "again.html").exit_code == 0
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()
    assert run_id in cli("runs").stdout
    assert '"kind":"generation"' in cli("events", run_id).stdout


def test_one_object(cli: Cli, scripted: Scripted, words: Any, memory: Memory) -> None:
    result = cli(*words, "--json", "--out", "page.html")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert [turn["round"] for turn in told["generations"]] == [0, 1]
    assert set(told["champions"]) == {"evolved", "random", "founder"}
    assert told["compared"]["n"] > 0
    assert told["page"] == "page.html"
    assert memory.get_vector(told["verdict"]["vector_id"])
    [run] = memory.runs.all()
    budget: Any = run.settings["budget"]
    assert budget["candidates"] > 3 * 4  # what the generations need, where no limit was given


def test_ctrl_c_and_resume(
    cli: Cli, scripted: Scripted, words: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = json.loads(cli(*words, "--json").stdout)
    monkeypatch.setattr(scripted, "_score", stop_after(20))
    stopped = cli(*words)
    assert stopped.exit_code == 130
    last = stopped.stderr.splitlines()[-1]
    assert last.startswith("stopped; go on with: selfsteer resume ")
    resumed = cli("resume", last.split()[-1], "--json")
    assert resumed.exit_code == 0, resumed.stderr
    told = json.loads(resumed.stdout)
    assert (told["generations"], told["compared"]) == (whole["generations"], whole["compared"])


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (("--population", 2), "--population"),
        (("--generations", 0), "--generations"),
        (("--budget-minutes", 0), "--budget-minutes"),
        (("--strengths", "3"), "--strengths"),
        (("--controller", "nobody"), "Unknown controller"),
        (("--from", "0" * 16), "holds no vector"),
        (("--from", "what"), "neither a vector file"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_no_run(
    cli: Cli, scripted: Scripted, words: Any, memory: Memory, mistake: Any, said: str
) -> None:
    result = cli(*words, *mistake)
    assert result.exit_code == 2
    assert said in one_sentence(result.stderr.splitlines()[-1] + "\n")
    assert memory.runs.all() == []


@pytest.mark.parametrize("place", ["none/x.html", "."])
def test_a_page_that_cannot_be_written_is_refused_before_the_work(
    cli: Cli, scripted: Scripted, words: Any, memory: Memory, place: str
) -> None:
    result = cli(*words, "--out", place)
    assert result.exit_code == 2
    assert f"cannot be written to {place}" in one_sentence(result.stderr)
    assert memory.runs.all() == []


def test_results_are_printed_though_the_page_cannot_be_written_any_more(
    cli: Cli, scripted: Scripted, words: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "check_place", lambda _: None)
    result = cli(*words, "--out", "none/x.html")
    assert result.exit_code == 2
    assert "accepted: steerability" in result.stdout
    assert "cannot be written to none/x.html" in result.stderr
