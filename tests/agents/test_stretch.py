"""A stretch of a run that is broken off at its very edges leaves no row that says it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langgraph.checkpoint.sqlite import SqliteSaver

from selfsteer.agents import evolve
from selfsteer.agents.evolve import evolve_goal, resume_evolution
from selfsteer.agents.loop import resume_run, run_goal
from selfsteer.errors import MemoryFileError
from selfsteer.memory.export import events_file
from selfsteer.memory.runs import Runs
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import Scripted, settings
from tests.agents.evolving_doubles import evolving, few, found

pytestmark = pytest.mark.usefixtures("few_probes")


def broken_off(method: Callable[..., Any], error: BaseException) -> Callable[..., Any]:
    """The method, and right after it the error."""

    def call(*args: Any, **kwargs: Any) -> Any:
        method(*args, **kwargs)
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "stopped"), (OSError("disk"), "failed")]
)
def test_right_after_it_is_on_record(
    talker: Student,
    memory: Memory,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Runs, "start", broken_off(Runs.start, error))
        with pytest.raises(type(error)):
            run_goal(talker, Scripted(), memory, settings())
    (run,) = memory.runs.all()
    assert run.status == status
    assert events_file(memory, run.id).exists()
    with monkeypatch.context() as patch:
        patch.setattr(Runs, "resume", broken_off(Runs.resume, error))
        with pytest.raises(type(error)):
            resume_run(run.id, talker, Scripted(), memory)
    assert memory.runs.get(run.id).status == status
    assert resume_run(run.id, talker, Scripted(), memory).status == "accepted"


def test_before_it_is_on_record(
    talker: Student, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Runs, "start", refused)
    with pytest.raises(KeyboardInterrupt):
        run_goal(talker, Scripted(), memory, settings())
    assert memory.runs.all() == []


def test_as_it_begins_to_write(
    talker: Student, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between the start of a ``with`` statement and its block runs no ``__exit__``."""

    def stranded(*args: Any, **kwargs: Any) -> None:
        memory.connection.db.conn.execute("BEGIN IMMEDIATE")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Runs, "add_candidates", stranded)
        with pytest.raises(KeyboardInterrupt):
            run_goal(talker, Scripted(), memory, settings())
    (run,) = memory.runs.all()
    with Memory.open(memory.path) as other:
        assert other.runs.get(run.id).status == "stopped"
    assert resume_run(run.id, talker, Scripted(), memory).status == "accepted"


def test_right_after_its_end(
    talker: Student, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        deleted = broken_off(SqliteSaver.delete_thread, KeyboardInterrupt())
        patch.setattr(SqliteSaver, "delete_thread", deleted)
        with pytest.raises(KeyboardInterrupt):
            run_goal(talker, Scripted(), memory, settings())
    (run,) = memory.runs.all()
    assert run.status == "accepted"
    with pytest.raises(MemoryFileError, match="nothing to resume"):
        resume_run(run.id, talker, Scripted(), memory)
    assert memory.runs.get(run.id) == run


def test_evolutions_at_both_edges(
    talker: Student, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(monkeypatch)
    order = evolving(found(talker, memory))
    before = {run.id for run in memory.runs.all()}
    with monkeypatch.context() as patch:
        patch.setattr(Runs, "start", broken_off(Runs.start, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            evolve_goal(talker, Scripted(), memory, order)
    (run,) = (run for run in memory.runs.all() if run.id not in before)
    assert run.status == "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(Runs, "finish", broken_off(Runs.finish, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            resume_evolution(run.id, talker, Scripted(), memory)
    assert memory.runs.get(run.id).status == "accepted"
    monkeypatch.setattr(evolve, "generation", pytest.fail)
    with pytest.raises(MemoryFileError, match="nothing to resume"):
        resume_evolution(run.id, talker, Scripted(), memory)
