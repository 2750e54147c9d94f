"""`run` and `resume`, with a tiny student and a controller that follows a script."""

from __future__ import annotations

import json
import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfsteer.agents.models.errors import CallAmbiguous
from selfsteer.app import controllers
from selfsteer.app.commands import resume
from selfsteer.app.commands import run as module
from selfsteer.app.controllers import Payer
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import EFFORT, GOAL, Scripted, first_half
from tests.agents.paid_doubles import FakeModel, price, question
from tests.app.conftest import Cli
from tests.app.doubles import one_sentence

EASY = ("--steerability", 0.05, "--coherence", 10, "--broken", 1, "--retention", 0)
CONTROLLER = ("--controller", "scripted")


@pytest.fixture
def scripted(talker: Student, few_probes: object, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """The controller that `--controller scripted` names; the student has any name."""
    controller = Scripted()
    monkeypatch.setitem(controllers.CONTROLLERS, "scripted", lambda *_: controller)
    for each in (module, resume):
        monkeypatch.setattr(each, "load_student", lambda *_: talker)
    asked = module._settings
    monkeypatch.setattr(
        module,
        "_settings",
        lambda *a, **k: asked(*a, **k).model_copy(update={"effort": EFFORT, "max_new_tokens": 16}),
    )
    return controller


def stop_after(calls: int) -> Callable[[Any], float]:
    """A judge at whom somebody presses Ctrl-C, once."""
    left = [calls]

    def score(sample: Any) -> float:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return first_half(sample.reply)

    return score


def test_an_accepted_run(cli: Cli, scripted: Scripted) -> None:
    result = cli("run", GOAL, *CONTROLLER, *EASY, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["status"] == "accepted"
    assert told["goal"] == GOAL
    assert told["verdict"]["vector_id"]
    assert "evaluated: round=0" in result.stderr


def test_people_are_told_where_the_page_is(cli: Cli, scripted: Scripted) -> None:
    result = cli("run", GOAL, *CONTROLLER, *EASY)
    assert result.stdout.startswith("accepted: steerability")
    assert "selfsteer report " in result.stdout


def test_a_rejected_run_exits_with_1(cli: Cli, scripted: Scripted) -> None:
    result = cli("run", GOAL, *CONTROLLER, "--steerability", 1, "--budget-rounds", 1, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["status"] == "rejected"


def test_the_strengths_bound_the_search(cli: Cli, scripted: Scripted, tmp_path: Path) -> None:
    cli("run", GOAL, *CONTROLLER, *EASY, "--strengths", "0.5:0.6")
    with Memory.open(tmp_path / "selfsteer.db") as memory:
        (done,) = memory.runs.all()
        plans = [c.plan["edits"] for c in memory.runs.candidates(done.id, "development")]
    strengths = [plan[0]["strength"] for plan in plans]  # type: ignore[index,call-overload]
    assert strengths
    assert all(0.5 <= strength <= 0.6 for strength in strengths)


def test_the_second_run_recalls_unless_told_otherwise(cli: Cli, scripted: Scripted) -> None:
    first = json.loads(cli("run", GOAL, *CONTROLLER, *EASY, "--json").stdout)
    again = json.loads(cli("run", GOAL, *CONTROLLER, *EASY, "--json").stdout)
    anew = json.loads(cli("run", GOAL, *CONTROLLER, *EASY, "--no-memory", "--json").stdout)
    assert again["verdict"]["recalled"] == first["run"]
    assert anew["verdict"]["recalled"] is None


@pytest.mark.parametrize("calls", [1, 60, 120])
def test_ctrl_c_stops_and_resume_goes_on(
    cli: Cli, scripted: Scripted, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = json.loads(cli("run", GOAL, *CONTROLLER, *EASY, "--json", "--db", "whole.db").stdout)
    monkeypatch.setattr(scripted, "_score", stop_after(calls))
    stopped = cli("run", GOAL, *CONTROLLER, *EASY, "--db", "a b.db")
    assert stopped.exit_code == 130
    last = stopped.stderr.splitlines()[-1]
    assert last.startswith("stopped; go on with: selfsteer resume ")
    assert last.endswith(" --db 'a b.db'")
    run_id = shlex.split(last)[-3]
    resumed = cli("resume", run_id, "--db", "a b.db", "--json")
    assert resumed.exit_code == 0, resumed.stderr
    told = json.loads(resumed.stdout)
    assert told["run"] == run_id
    assert told["verdict"] == whole["verdict"]


def test_sigterm_lets_the_node_finish_and_resume_goes_on(
    cli: Cli, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [1]

    def score(sample: Any) -> float:
        if left:
            left.pop()
            os.kill(os.getpid(), signal.SIGTERM)
        return first_half(sample.reply)

    monkeypatch.setattr(scripted, "_score", score)
    before = signal.getsignal(signal.SIGTERM)
    stopped = cli("run", GOAL, *CONTROLLER, *EASY)
    assert stopped.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert "collected: " in stopped.stderr
    assert "extracted: " not in stopped.stderr
    last = stopped.stderr.splitlines()[-1]
    assert last.startswith("stopped; go on with: selfsteer resume ")
    resumed = cli("resume", last.split()[-1], "--json")
    assert resumed.exit_code == 0, resumed.stderr


def test_a_resumed_run_has_its_own_dataset_and_questions(
    cli: Cli,
    scripted: Scripted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[Any] = []

    def build(student: Student, dataset: Any, payer: Payer, who: Any) -> Scripted:
        given.append(dataset)
        return scripted

    monkeypatch.setitem(controllers.CONTROLLERS, "scripted", build)
    monkeypatch.setattr(scripted, "_score", stop_after(1))
    (tmp_path / "d.jsonl").write_text('{"positive": "a", "negative": "b"}\n')
    (tmp_path / "q.jsonl").write_text('{"question": "q", "answers": ["a"]}\n')
    files = ("--dataset", "d.jsonl", "--capability", "q.jsonl")
    stopped = cli("run", GOAL, *CONTROLLER, *EASY, *files)
    (tmp_path / "d.jsonl").unlink()
    (tmp_path / "q.jsonl").unlink()
    resumed = cli("resume", stopped.stderr.split()[-1], "--json")
    assert resumed.exit_code == 0, resumed.stderr
    assert given[1] == given[0]
    # The question was asked: nobody has it right, so nothing shows that anything was kept.
    assert json.loads(resumed.stdout)["verdict"]["retention"] == 0.0


def test_a_call_in_doubt_stops_a_run_until_it_may_be_paid_again(
    cli: Cli, scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = FakeModel(CallAmbiguous("It hung up."))

    class Paying(Scripted):
        name = "paying"

        def __init__(self, payer: Payer) -> None:
            super().__init__()
            assert payer.control is not None  # a wait for answers hears of SIGTERM
            self.paid = payer.calls(model, price)
            self.model = self.paid.model

        def propose(self, *arguments: Any) -> Any:
            self.paid.ask("propose/0", "propose", question())
            self.paid.parsed("propose/0", "propose", question())
            return super().propose(*arguments)

    monkeypatch.setitem(controllers.CONTROLLERS, "paying", lambda *given: Paying(given[2]))
    stopped = cli("run", GOAL, "--controller", "paying", *EASY, "--budget-money", 1)
    assert stopped.exit_code == 2
    told = one_sentence(stopped.stderr.splitlines()[-1])
    assert told.startswith("error: It hung up; the call propose/0/propose counts as paid")
    with Memory.open(tmp_path / "selfsteer.db") as memory:
        [run] = memory.runs.all()
        assert (run.status, run.model) == ("stopped", "fake/model")
    assert cli("resume", run.id).exit_code == 2
    assert len(model.sent) == 1
    resumed = cli("resume", run.id, "--on-ambiguous", "retry", "--json")
    assert resumed.exit_code == 0, resumed.stderr
    assert len(model.sent) == 2


def test_money_for_a_model_without_a_price_is_refused_at_once(
    cli: Cli, scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(student: Student, dataset: Any, payer: Payer, who: Any) -> Any:
        return payer.calls(FakeModel(), lambda usage, *, batched=False: None)

    monkeypatch.setitem(controllers.CONTROLLERS, "paying", build)
    result = cli("run", GOAL, "--controller", "paying", "--budget-money", 2)
    assert result.exit_code == 2
    assert "budget of 2 dollars cannot be kept" in one_sentence(result.stderr)
    with Memory.open(tmp_path / "selfsteer.db") as memory:
        assert memory.runs.all() == []


def test_a_run_that_ended_is_not_resumed(cli: Cli, scripted: Scripted) -> None:
    told = json.loads(cli("run", GOAL, *CONTROLLER, *EASY, "--json").stdout)
    result = cli("resume", told["run"])
    assert result.exit_code == 2
    assert "ended as accepted" in result.stderr
