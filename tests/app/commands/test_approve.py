"""`approve`: what is asked is shown, and the answer is what the run goes on with."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from selfsteer.app import controllers
from selfsteer.app.commands import resume
from selfsteer.app.commands import run as module
from selfsteer.steering.model import Student
from tests.agents.doubles import EFFORT, GOAL, Scripted
from tests.app.conftest import Cli
from tests.app.doubles import one_sentence

EASY = ("--steerability", 0.05, "--coherence", 10, "--broken", 1, "--retention", 0)


@pytest.fixture(autouse=True)
def scripted(talker: Student, few_probes: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(controllers.CONTROLLERS, "scripted", lambda *_: Scripted())
    for each in (module, resume):
        monkeypatch.setattr(each, "load_student", lambda *_: talker)
    asked = module._settings
    monkeypatch.setattr(
        module,
        "_settings",
        lambda *a, **k: asked(*a, **k).model_copy(update={"effort": EFFORT, "max_new_tokens": 16}),
    )


def wait(cli: Cli, what: str) -> str:
    """The id of a run that waits."""
    waiting = cli("run", GOAL, "--controller", "scripted", *EASY, "--approve", what, "--json")
    assert waiting.exit_code == 3, waiting.stderr
    told = json.loads(waiting.stdout)
    assert told["status"] == "waiting"
    return str(told["run"])


def test_people_are_told_how_to_look(cli: Cli) -> None:
    result = cli("run", GOAL, "--controller", "scripted", *EASY, "--approve", "data")
    assert result.exit_code == 3
    assert result.stdout.startswith("waiting for approval; look with: selfsteer approve ")


def test_what_is_told_names_the_memory_in_use(cli: Cli) -> None:
    place = ("--db", "a b.db")
    words = ("run", GOAL, "--controller", "scripted", *EASY, *place)
    waiting = cli(*words, "--approve", "data").stdout.strip()
    assert waiting.endswith(" --db 'a b.db'")
    name = shlex.split(waiting)[-3]
    told = cli("approve", name, "--accept", *place).stdout
    assert told == f"accept; go on with: selfsteer resume {name} --db 'a b.db'\n"
    ended = cli("resume", name, *place).stdout.strip()
    assert ended.endswith(f"; for a page: selfsteer report {name} --db 'a b.db'")


def test_pairs_are_shown_and_accepted(cli: Cli) -> None:
    run = wait(cli, "data,plan")
    shown = cli("approve", run)
    assert "pairs to learn from" in shown.stdout
    assert "--json shows all" in shown.stdout
    unanswered = cli("resume", run)
    assert unanswered.exit_code == 2
    assert f"Run {run} waits" in one_sentence(unanswered.stderr)
    assert cli("approve", run, "--accept").stdout == f"accept; go on with: selfsteer resume {run}\n"
    assert cli("resume", run).exit_code == 3
    plan = cli("approve", run).stdout
    assert "plan: " in plan and "steerability" in plan
    cli("approve", run, "--accept")
    assert cli("resume", run).exit_code == 0


def test_what_is_shown_as_json_is_taken_back_edited(cli: Cli, tmp_path: Path) -> None:
    run = wait(cli, "data,plan")
    pairs: list[Any] = json.loads(cli("approve", run, "--json").stdout)["pairs"]
    (tmp_path / "pairs.json").write_text(json.dumps(pairs[:10]))
    edited = json.loads(cli("approve", run, "--edit", "pairs.json", "--json").stdout)
    assert edited["answer"] == "edit"
    assert cli("resume", run).exit_code == 3
    candidate = json.loads(cli("approve", run, "--json").stdout)["candidate"]
    (tmp_path / "plan.json").write_text(json.dumps({**candidate, "strength": 0.111}))
    assert cli("approve", run, "--edit", "plan.json").exit_code == 0
    ended = json.loads(cli("resume", run, "--json").stdout)
    assert ended["verdict"]["strength"] == 0.111


def test_a_composition_is_shown_edit_by_edit_and_taken_or_left(cli: Cli, tmp_path: Path) -> None:
    for goal in ("favour early letters", "be brisk"):
        assert cli("run", goal, "--controller", "scripted", *EASY).exit_code == 0
    words = ("run", "brisk, with early letters", "--controller", "scripted", *EASY)
    run = json.loads(cli(*words, "--approve", "plan", "--json").stdout)["run"]
    asked = json.loads(cli("approve", run, "--json").stdout)
    shown = cli("approve", run).stdout
    assert [edit["vector"] in shown for edit in asked["edits"]] == [True, True]
    assert "why: They met parts of the goal before." in shown
    one = {name: value for name, value in asked["edits"][0].items() if name != "vector"}
    (tmp_path / "plan.json").write_text(json.dumps(one))
    refused = cli("approve", run, "--edit", "plan.json")
    assert refused.exit_code == 2
    assert "accept the plan or refuse it" in one_sentence(refused.stderr)
    assert cli("approve", run, "--accept").exit_code == 0
    ended = cli("resume", run).stdout
    assert [f"vector {edit['vector']}: " in ended for edit in asked["edits"]] == [True, True]


def test_a_refusal_ends_the_run(cli: Cli) -> None:
    run = wait(cli, "plan")
    assert cli("approve", run, "--refuse", "Too strong.").exit_code == 0
    ended = cli("resume", run, "--json")
    assert ended.exit_code == 1
    assert json.loads(ended.stdout)["verdict"]["reason"] == "The plan was refused: Too strong."


@pytest.mark.parametrize(
    ("what", "words", "answer"),
    [
        ("plan", "not several", ("--accept", "--refuse", "no")),
        ("plan", "--refuse needs a reason", ("--refuse", " ")),
        ("plan", "Cannot read the candidate none.json", ("--edit", "none.json")),
        ("plan", "is no candidate", ("--edit", "bad.json")),
        ("data", "not a JSON object", ("--edit", "bad.json")),
    ],
)
def test_answers_that_are_none(
    cli: Cli, tmp_path: Path, what: str, words: str, answer: tuple[str, ...]
) -> None:
    run = wait(cli, what)
    (tmp_path / "bad.json").write_text("[1]")
    result = cli("approve", run, *answer)
    assert result.exit_code == 2
    assert words in one_sentence(result.stderr)
    assert cli("approve", run).exit_code == 0


def test_what_cannot_be_approved_is_refused_at_once(cli: Cli) -> None:
    result = cli("run", GOAL, "--approve", "data,vibes")
    assert result.exit_code == 2
    assert "--approve must be data, plan or data,plan" in one_sentence(result.stderr)
