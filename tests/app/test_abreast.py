"""Runs in processes of their own: the same ends, and none is lost when they are stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from selfsteer.agents.loop import resume_run, run_goal
from selfsteer.agents.settings import RunSettings
from selfsteer.app.abreast import run_abreast
from selfsteer.app.inputs import Inputs
from selfsteer.app.lookout import Lookout
from selfsteer.errors import SelfsteerError, StudentError
from selfsteer.memory.records import Event
from selfsteer.memory.store import Memory
from selfsteer.steering.generate import end_ids
from selfsteer.steering.model import Student
from tests.agents.doubles import LETTERS, Scripted, record, settings
from tests.steering.students import build_student

ORDERS = [settings(goal="first"), settings(goal="second", seed=4), settings(goal="third", seed=5)]


def scripted(student: Student) -> Scripted:
    return Scripted()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A talker that every process can load: the bias of its last norm makes letters likely."""
    student = build_student("gpt2", tie_word_embeddings=False)
    model: Any = student.model
    likely = [*student.tokenizer.convert_tokens_to_ids(list(LETTERS)), *sorted(end_ids(student))]
    with torch.no_grad():
        model.transformer.ln_f.bias.zero_()[0] = 10.0
        model.lm_head.weight *= 0.3
        model.lm_head.weight[:, 0] = 0.0
        model.lm_head.weight[likely, 0] = 1.2
    found = tmp_path_factory.mktemp("student")
    model.save_pretrained(found)
    student.tokenizer.save_pretrained(found)
    return found


@pytest.fixture
def inputs(folder: Path) -> Inputs:
    return Inputs(student=str(folder), device="cpu", dtype="float32")


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def when(kind: str, act: Callable[[], None]) -> Callable[[Lookout], None]:
    """A look that does something, once any run has told an event of a kind."""
    done: list[None] = []

    def look(self: Lookout) -> None:
        told = [event.kind for run in self._memory.runs.all() for event in _events(self, run.id)]
        if kind in told and not done:
            done.append(None)
            act()

    return look


def _events(lookout: Lookout, run_id: str) -> list[Event]:
    return lookout._memory.runs.events(run_id)


def interrupt() -> None:
    raise KeyboardInterrupt


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def kill_one() -> None:
    pid = active_children()[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def begin(memory: Memory, inputs: Inputs, orders: list[RunSettings] = ORDERS) -> None:
    run_abreast(memory, inputs, orders, scripted, 2)


@pytest.mark.usefixtures("one_thread")
def test_they_end_as_they_do_one_by_one(
    memory: Memory, inputs: Inputs, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = run_abreast(memory, inputs, ORDERS, scripted, 2)
    assert [run.goal for run in runs] == ["first", "second", "third"]
    student = Student.load(folder)
    with Memory.open(tmp_path / "other.db") as other:
        for run, order in zip(runs, ORDERS, strict=True):
            alone = run_goal(student, scripted(student), other, order)
            assert (run.status, run.verdict) == (alone.status, alone.verdict)
            found, expected = record(memory, run.id), record(other, alone.id)
            assert found["events"] == ["started", "inputs", *expected["events"][1:]]
            assert found["candidates"] == expected["candidates"]
            assert Inputs.of_run(memory, run) == inputs
    assert any(memory.runs.candidates(run.id) for run in runs)
    printed = capfd.readouterr().err
    for run in runs:
        assert f"{run.id} started: goal={run.goal} run={run.id}" in printed
        assert f"{run.id} verdict: " in printed


@pytest.mark.parametrize(("act", "code"), [(interrupt, 130), (terminate, 143)])
def test_all_of_them_are_stopped_and_can_go_on(
    memory: Memory,
    inputs: Inputs,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    act: Callable[[], None],
    code: int,
) -> None:
    monkeypatch.setattr(Lookout, "look", when("collected", act))
    with pytest.raises(typer.Exit) as ended:
        begin(memory, inputs)
    assert ended.value.exit_code == code
    assert active_children() == []
    stopped = [run for run in memory.runs.all() if run.status == "stopped"]
    assert stopped
    assert {run.status for run in memory.runs.all()} <= {"stopped", "accepted", "rejected"}
    printed = capfd.readouterr().err
    assert "Traceback" not in printed
    for run in stopped:
        assert f"selfsteer resume {run.id} --db {memory.path}" in printed
    student = Student.load(folder)
    again = resume_run(stopped[0].id, student, scripted(student), memory)
    assert again.status in ("accepted", "rejected")


def test_what_went_wrong_in_a_process_is_told_here(memory: Memory, inputs: Inputs) -> None:
    lost = inputs.model_copy(update={"student": "no/such/student"})
    with pytest.raises(StudentError, match="no/such/student"):
        begin(memory, lost)
    assert active_children() == []


def test_a_process_that_was_killed_is_no_mystery(
    memory: Memory, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lookout, "look", when("collected", kill_one))
    resume = r"`selfsteer resume [0-9a-f]{8} --db /.*selfsteer.db`"
    with pytest.raises(SelfsteerError, match=f"killed from outside.*{resume}"):
        begin(memory, inputs)
    assert active_children() == []
