"""A run that is stopped anywhere ends as it would have ended, and records nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from langgraph.runtime import RunControl

from selfsteer.agents import loop
from selfsteer.agents.clock import StopAsked
from selfsteer.agents.loop import resume_run, run_goal
from selfsteer.agents.models.errors import CallRefused
from selfsteer.agents.paid_calls import CallInDoubt
from selfsteer.agents.search import SearchController
from selfsteer.agents.types import Sample
from selfsteer.errors import MemoryFileError, SelfsteerError
from selfsteer.memory.recall import Recall
from selfsteer.memory.records import Run
from selfsteer.memory.runs import Runs, fresh_id
from selfsteer.memory.store import Memory
from selfsteer.steering.model import Student
from tests.agents.doubles import (
    Scripted,
    deal_few,
    first_half,
    record,
    settings,
    stopped_at,
)

pytestmark = pytest.mark.usefixtures("few_probes")

Place = tuple[type, str, Callable[..., bool] | None]
ROOT = Path(__file__).resolve().parents[2]


def split_of(name: str) -> Callable[..., bool]:
    return lambda _self, candidates: candidates[0].split == name


def stage_of(name: str) -> Callable[..., bool]:
    return lambda _self, candidates: candidates[0].details.get("stage") == name


# Node -> where it is struck: a method that it calls, and for which of the calls.
BEFORE = {
    "recall": (Memory, "recall", None),
    "propose": (Scripted, "propose", None),
    "collect": (Scripted, "judge", None),
    "extract": (Memory, "put_vector", None),
    "plan_search": (Scripted, "choose", None),
    "evaluate": (Memory, "put_generations", None),
    "judge": (Runs, "add_candidates", split_of("development")),
    "reflect": (Runs, "add_round", None),
    "confirm": (Runs, "add_candidates", split_of("confirmation")),
    "remember": (Runs, "store_verdict", None),
    "report": (Runs, "add_candidates", split_of("report")),
}
# What a node has written is on record, and its checkpoint is not.
AFTER = {
    "propose": (Runs, "add_event", lambda _self, _run, kind, *_: kind == "proposed"),
    "collect": (Memory, "put_dataset", None),
    "extract": (Memory, "put_vector", None),
    "plan_search": (Runs, "add_event", lambda _self, _run, kind, *_: kind == "search_space"),
    "evaluate": (Memory, "put_generations", None),
    "judge": (Runs, "add_candidates", split_of("development")),
    "judge-refine": (Runs, "add_candidates", stage_of("refine")),
    "judge-finalists": (Runs, "add_candidates", stage_of("finalists")),
    "reflect": (Runs, "add_round", None),
    "confirm": (Runs, "add_candidates", split_of("confirmation")),
    "remember-verdict": (Runs, "store_verdict", None),
    "remember": (Recall, "remember", None),
    "report": (Runs, "add_candidates", split_of("report")),
}


class Strike:
    """Raises `error` once, before or after the first call of a method that `chosen` picks."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        place: Place,
        *,
        late: bool,
        error: BaseException,
    ) -> None:
        owner, name, chosen = place
        method = getattr(owner, name)
        self.struck = False

        def struck(*arguments: Any, **named: Any) -> Any:
            now = not self.struck and (chosen is None or chosen(*arguments))
            if now and not late:
                self.struck = True
                raise error
            result = method(*arguments, **named)
            if now:
                self.struck = True
                raise error
            return result

        monkeypatch.setattr(owner, name, struck)


@pytest.fixture(scope="module")
def undisturbed(
    talker: Student, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, list[Any]], Run]:
    """What a run leaves behind that nobody stops."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "deal_probes", deal_few)
        with Memory.open(tmp_path_factory.mktemp("undisturbed") / "memory.db") as memory:
            run = run_goal(talker, Scripted(), memory, settings())
            return record(memory, run.id), run


def assert_same_end(
    memory: Memory, run: Run, undisturbed: tuple[dict[str, list[Any]], Run]
) -> None:
    expected, ended = undisturbed
    found = record(memory, run.id)
    assert run.status == ended.status == "accepted"
    assert run.verdict == ended.verdict
    assert found["candidates"] == expected["candidates"]
    assert found["rounds"] == expected["rounds"]
    assert found["events"] == expected["events"]
    assert max(Counter(found["events"]).values()) == 1
    assert len(memory.remembered()) == 1


@pytest.mark.parametrize("place", BEFORE.values(), ids=BEFORE)
def test_ctrl_c_in_any_node_then_resume(
    talker: Student,
    memory: Memory,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: tuple[dict[str, list[Any]], Run],
    place: Place,
) -> None:
    strike = Strike(monkeypatch, place, late=False, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_goal(talker, Scripted(), memory, settings())
    assert strike.struck
    [stopped] = memory.runs.all()
    assert stopped.status == "stopped"
    run = resume_run(stopped.id, talker, Scripted(), memory)
    assert_same_end(memory, run, undisturbed)
    assert run.seconds > stopped.seconds > 0


def test_ctrl_c_after_every_write_of_every_node(
    talker: Student,
    memory: Memory,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: tuple[dict[str, list[Any]], Run],
) -> None:
    """One run, stopped behind each write in turn; every node then runs again from its top."""
    run = stopped_at("started", talker, memory)
    for node, place in AFTER.items():
        with monkeypatch.context() as patch:
            strike = Strike(patch, place, late=True, error=KeyboardInterrupt())
            with pytest.raises(KeyboardInterrupt):
                resume_run(run.id, talker, Scripted(), memory)
            assert strike.struck, node
        assert memory.runs.get(run.id).status == "stopped"
    assert_same_end(memory, resume_run(run.id, talker, Scripted(), memory), undisturbed)


def test_a_run_that_failed_can_be_resumed(
    talker: Student,
    memory: Memory,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: tuple[dict[str, list[Any]], Run],
) -> None:
    Strike(monkeypatch, AFTER["judge"], late=False, error=MemoryFileError("no space left"))
    with pytest.raises(MemoryFileError, match="no space left"):
        run_goal(talker, Scripted(), memory, settings())
    [failed] = memory.runs.all()
    assert failed.status == "failed"
    assert_same_end(memory, resume_run(failed.id, talker, Scripted(), memory), undisturbed)


CHILD = """
import sys
from selfsteer.agents import loop
from selfsteer.memory.store import Memory
from tests.agents.doubles import Scripted, build_talker, deal_few, settings

loop.deal_probes = deal_few

def listen(kind, payload):
    print(kind, flush=True)
    if kind == sys.argv[2]:
        sys.stdin.readline()  # until the kill

with Memory.open(sys.argv[1]) as memory:
    loop.run_goal(build_talker(), Scripted(), memory, settings(), listener=listen)
"""


def test_kill_9_then_resume(
    talker: Student, memory: Memory, undisturbed: tuple[dict[str, list[Any]], Run]
) -> None:
    """Killed in the node that judges, with its candidates on record and no checkpoint of it."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(memory.path), "evaluated"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},  # for rounding alike
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    told = iter(child.stdout.readline, "")
    assert any(line.strip() == "evaluated" for line in told)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    [killed] = memory.runs.all()
    assert killed.status == "running"
    assert memory.runs.candidates(killed.id)
    assert_same_end(memory, resume_run(killed.id, talker, Scripted(), memory), undisturbed)


def test_a_run_killed_before_its_first_checkpoint_begins_anew(
    talker: Student, memory: Memory, undisturbed: tuple[dict[str, list[Any]], Run]
) -> None:
    chosen = settings()
    run = memory.runs.start(
        chosen.goal.text,
        student=talker.name,
        fingerprint=talker.fingerprint,
        controller="scripted",
        seed=chosen.seed,
        settings=chosen.model_dump(mode="json"),
    )
    ended = resume_run(run.id, talker, Scripted(), memory)
    assert ended.status == "accepted"
    assert record(memory, run.id)["candidates"] == undisturbed[0]["candidates"]


def test_a_run_killed_before_it_is_marked_as_ended_ends_at_once(
    talker: Student, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph has come to its end, and its checkpoints still say so."""

    class Killed(BaseException):
        """Stands for a kill: nothing after it runs."""

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Runs, "finish", killed)
        with pytest.raises(Killed):
            run_goal(talker, Scripted(), memory, settings())
    [run] = memory.runs.all()
    assert run.status == "running"
    told: list[str] = []
    ended = resume_run(
        run.id, talker, Scripted(), memory, listener=lambda kind, _: told.append(kind)
    )
    assert ended.status == "accepted"
    assert told == []


@pytest.mark.parametrize("kind", ["confirmed", "verdict"])
def test_the_search_controller_judges_on_after_a_stop(
    talker: Student, memory: Memory, kind: str
) -> None:
    """Its judge is fitted in the process; the next process has to fit it again."""
    run = stopped_at(kind, talker, memory, SearchController(talker))
    ended = resume_run(run.id, talker, SearchController(talker), memory)
    assert ended.status == "accepted"
    assert len(memory.runs.candidates(run.id, "report")) == 3


@pytest.mark.parametrize(
    ("asked", "first"), [("extracted", "search_space"), ("evaluated", "evaluated")]
)
def test_a_run_that_is_asked_to_stop_finishes_its_node(
    talker: Student,
    memory: Memory,
    undisturbed: tuple[dict[str, list[Any]], Run],
    asked: str,
    first: str,
) -> None:
    control = RunControl()
    told: list[str] = []

    def listen(kind: str, payload: object) -> None:
        told.append(kind)
        if kind == asked:
            control.request_drain()

    stopped = run_goal(talker, Scripted(), memory, settings(), listener=listen, control=control)
    assert (stopped.status, stopped.verdict) == ("stopped", None)
    assert told[-1] == asked
    told.clear()
    ended = resume_run(
        stopped.id, talker, Scripted(), memory, listener=lambda kind, _: told.append(kind)
    )
    # What was finished is not done again.
    assert told[0] == first
    assert_same_end(memory, ended, undisturbed)


@pytest.mark.parametrize(
    "error", [StopAsked("It waits."), CallRefused("Overloaded."), CallInDoubt("Who knows?")]
)
def test_what_a_paid_model_cannot_answer_now_stops_a_run_that_goes_on_later(
    memory: Memory, talker: Student, error: SelfsteerError
) -> None:
    """A stop that was asked for is none to be told; what the person has to know is passed on."""
    undisturbed = run_goal(talker, Scripted(), memory, settings(use_memory=False))
    lost = [error]

    def score(sample: Sample) -> float:
        if lost:
            raise lost.pop()
        return first_half(sample.reply)

    run_id = fresh_id()
    wanted = settings(use_memory=False)
    if isinstance(error, StopAsked):
        run_goal(talker, Scripted(score=score), memory, wanted, run_id=run_id)
    else:
        with pytest.raises(type(error)):
            run_goal(talker, Scripted(score=score), memory, wanted, run_id=run_id)
    assert memory.runs.get(run_id).status == "stopped"
    resumed = resume_run(run_id, talker, Scripted(score=score), memory)
    assert resumed.status == "accepted"
    assert resumed.verdict is not None and undisturbed.verdict is not None
    assert resumed.verdict["strength"] == undisturbed.verdict["strength"]


def test_a_run_may_have_an_id_that_was_known_before(talker: Student, memory: Memory) -> None:
    name = fresh_id()
    assert run_goal(talker, Scripted(), memory, settings(), run_id=name).id == name
