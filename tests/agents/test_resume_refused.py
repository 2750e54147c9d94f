"""What cannot be resumed, or begun, is said before anything is done."""

from __future__ import annotations

import pytest

from selfsteer.agents import loop
from selfsteer.agents.loop import resume_run, run_goal
from selfsteer.errors import MemoryFileError, VectorError
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import Scripted, build_talker, settings, stopped_at

pytestmark = pytest.mark.usefixtures("few_probes")


def test_what_ended_cannot_be_resumed(talker: Student, memory: Memory) -> None:
    run = run_goal(talker, Scripted(), memory, settings())
    with pytest.raises(MemoryFileError, match="ended as accepted"):
        resume_run(run.id, talker, Scripted(), memory)
    with pytest.raises(MemoryFileError, match="holds no run"):
        resume_run("nothing", talker, Scripted(), memory)


def test_a_run_is_resumed_with_its_own_student(talker: Student, memory: Memory) -> None:
    run = stopped_at("started", talker, memory)
    with pytest.raises(MemoryFileError, match="resume it with the student it began with"):
        resume_run(run.id, build_talker(bias=11.5), Scripted(), memory)
    assert memory.runs.get(run.id).status == "stopped"


@pytest.mark.parametrize(
    ("name", "model"), [("another", "maker/large"), ("scripted", "maker/small"), ("scripted", None)]
)
def test_a_run_is_resumed_with_its_own_controller_and_model(
    talker: Student, memory: Memory, name: str, model: str | None
) -> None:
    def deciding(name: str, model: str | None) -> Scripted:
        controller = Scripted()
        controller.name, controller.model = name, model
        return controller

    own = deciding("scripted", "maker/large")
    run = stopped_at("started", talker, memory, own)
    assert run.model == "maker/large"
    with pytest.raises(MemoryFileError, match="decided by scripted with maker/large, not by"):
        resume_run(run.id, talker, deciding(name, model), memory)
    assert memory.runs.get(run.id).status == "stopped"
    assert resume_run(run.id, talker, own, memory).status == "accepted"


def test_an_unknown_method_is_refused_before_anything_is_done(
    talker: Student, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(VectorError, match="Unknown extraction method 'magic'; known are"):
        run_goal(talker, Scripted(), memory, settings(method="magic"))
    assert memory.runs.all() == []
    # A package that brought a method may be gone when the run is resumed.
    with monkeypatch.context() as patch:
        patch.setattr(loop, "check_method", lambda _: None)
        run = stopped_at("started", talker, memory, method="magic")
    with pytest.raises(VectorError, match="Unknown extraction method 'magic'"):
        resume_run(run.id, talker, Scripted(), memory)
    assert memory.runs.get(run.id).status == "stopped"
