"""How a run starts, stops and resumes.

Every node of the graph may run again from its top after an interruption: what it adds to memory has
keys that it computes again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from selfsteer.agents.approval import ASKED, Asked, check_answered
from selfsteer.agents.checkpoints import checkpoints, checkpoints_file, threads
from selfsteer.agents.clock import StopAsked
from selfsteer.agents.context import Context, Listener
from selfsteer.agents.controller import Controller
from selfsteer.agents.graph import build_graph
from selfsteer.agents.models.errors import ModelUnavailable
from selfsteer.agents.paid_calls import CallInDoubt
from selfsteer.agents.probes import deal_probes
from selfsteer.agents.settings import RunSettings, settings_of
from selfsteer.agents.state import LoopState
from selfsteer.errors import MemoryFileError
from selfsteer.memory.export import write_events
from selfsteer.memory.meaning import Meaning
from selfsteer.memory.records import Run, Stretch
from selfsteer.memory.runs import fresh_id
from selfsteer.memory.store import Memory
from selfsteer.steering.extraction.registry import check_method
from selfsteer.steering.metrics.retention import CapabilityItem
from selfsteer.steering.model import Student

INTERRUPT = "__interrupt__"  # where LangGraph puts what a node waits for
ENDED = ("accepted", "rejected")
# What interrupts a run without a fault of its own: it goes on once the person did what is said.
STOPS = (KeyboardInterrupt, CallInDoubt, ModelUnavailable)
# A round of 200 candidates in batches of 12 takes about 60 steps; the budget ends runs, not this.
RECURSION_LIMIT = 10_000


def quiet(kind: str, payload: Mapping[str, Any]) -> None:
    """The listener of those who do not want to be told."""


def run_goal(
    student: Student,
    controller: Controller,
    memory: Memory,
    settings: RunSettings,
    *,
    capability: Sequence[CapabilityItem] = (),
    listener: Listener = quiet,
    control: RunControl | None = None,
    run_id: str | None = None,
    user_id: str | None = None,
    meaning: Meaning | None = None,
) -> Run:
    """Run the loop for one goal from the start.

    Args:
        capability: questions that retention is measured on; none leaves retention unmeasured.
        listener: told of every event.
        control: asks the run to stop once its current node is done.
        run_id: from `fresh_id`, for a controller that had to know who pays; None for a fresh one.
        user_id: the user that the run is made for; what it leaves is forgotten with the user, and
            recalled for that user only.
        meaning: finds remembered goals that mean the same where words find none.

    Returns:
        the run as it stands in memory, with its verdict, waiting for approval, or stopped as
        `control` asked.

    Raises:
        VectorError: an unknown method of extraction; there is no run then.
        EncoderError: that of `meaning` cannot be loaded.
        UserError: an unknown user; there is no run then.
        CallInDoubt: passed on after the run is marked as stopped; `resume_run` goes on, with a
            controller that asks again.
        KeyboardInterrupt, ModelUnavailable: passed on after the run is marked as stopped;
            `resume_run` goes on.
    """
    check_method(settings.method)
    if user_id is not None:
        memory.users.get(user_id)
    run_id = run_id or fresh_id()
    context = _context(run_id, settings, student, controller, memory, capability, listener, meaning)
    record = partial(begin, memory, student, controller, settings, run_id, user_id)
    return _drive(record, {"run_id": run_id}, context, control)


def resume_run(
    run_id: str,
    student: Student,
    controller: Controller,
    memory: Memory,
    *,
    capability: Sequence[CapabilityItem] = (),
    listener: Listener = quiet,
    control: RunControl | None = None,
    meaning: Meaning | None = None,
) -> Run:
    """Go on with a run that was stopped or killed, from its last finished node.

    Args:
        meaning: as in :func:`run_goal`; asked only where the run had not looked into memory yet.

    Raises:
        MemoryFileError: no such run, a run that ended, one of another student or controller, one
            that waits for an answer, or one whose settings no loop kept.
        VectorError: an unknown method of extraction.
        EncoderError: that of `meaning` cannot be loaded.
    """
    run = check_parties(memory.runs.get(run_id), student, controller)
    if run.status == "waiting":
        check_answered(memory, run_id)
    settings = settings_of(run, RunSettings)
    check_method(settings.method)
    context = _context(run_id, settings, student, controller, memory, capability, listener, meaning)
    return _drive(partial(memory.runs.resume, run_id), None, context, control)


def begin(
    memory: Memory,
    student: Student,
    controller: Controller,
    settings: RunSettings,
    run_id: str,
    user_id: str | None = None,
) -> Run:
    """Put a new run on record, with all that `check_parties` compares when it is resumed."""
    return memory.runs.start(
        settings.goal.text,
        student=student.name,
        fingerprint=student.fingerprint,
        controller=controller.name,
        seed=settings.seed,
        settings=settings.model_dump(mode="json"),
        model=controller.model,
        run_id=run_id,
        user_id=user_id,
    )


def check_parties(run: Run, student: Student, controller: Controller) -> Run:
    """The run, if it began with this student and this controller.

    Raises:
        MemoryFileError: it did not.
    """
    if run.fingerprint != student.fingerprint:
        raise MemoryFileError(
            f"Run {run.id} steers {run.student} ({run.fingerprint[:12]}), not {student.name} "
            f"({student.fingerprint[:12]}); resume it with the student it began with."
        )
    if (run.controller, run.model) != (controller.name, controller.model):
        raise MemoryFileError(
            f"Run {run.id} is decided by {_named(run.controller, run.model)}, not by "
            f"{_named(controller.name, controller.model)}; resume it with the controller it began "
            "with."
        )
    return run


def _named(controller: str, model: str | None) -> str:
    return controller if model is None else f"{controller} with {model}"


def _context(
    run_id: str,
    settings: RunSettings,
    student: Student,
    controller: Controller,
    memory: Memory,
    capability: Sequence[CapabilityItem],
    listener: Listener,
    meaning: Meaning | None,
) -> Context:
    return Context(
        run_id=run_id,
        settings=settings,
        student=student,
        memory=memory,
        controller=controller,
        probes=deal_probes(settings.seed),
        capability=capability,
        listener=listener,
        meaning=meaning,
    )


@contextmanager
def stretch(memory: Memory, run_id: str) -> Iterator[float]:
    """The time at which a stretch of a run begins, to be put on record within.

    Whatever breaks it off, from the moment the run is on record as running, the run's row and its
    file say so.
    """
    began = time.monotonic()
    try:
        yield began
    except BaseException as error:
        status: Stretch = "stopped" if isinstance(error, STOPS) else "failed"
        if memory.runs.break_off(run_id, status, seconds=time.monotonic() - began):
            write_events(memory, run_id)
        raise


def _drive(
    record: Callable[[], object],
    start: LoopState | None,
    context: Context,
    control: RunControl | None,
) -> Run:
    """Run the graph as far as it goes, once the run is on record as running."""
    with stretch(context.memory, context.run_id) as began:
        record()
        if start is None:
            write_events(context.memory, context.run_id)
        path = checkpoints_file(context.memory.path)
        context.memory.files.note("checkpoints", path, run_ids=[context.run_id])
        with checkpoints(context.memory.path) as saver:
            _prune(saver, context)
            status = _invoke(start, context, saver, control)
            write_events(context.memory, context.run_id)
            ended = context.memory.runs.finish(
                context.run_id, status, seconds=time.monotonic() - began
            )
            if status in ENDED:
                # Only now: a run that is killed before it is marked has to find its end here.
                saver.delete_thread(context.run_id)
    return ended


def _invoke(
    start: LoopState | None, context: Context, saver: SqliteSaver, control: RunControl | None
) -> Stretch:
    """How this stretch of the run ends."""
    config: RunnableConfig = {
        "configurable": {"thread_id": context.run_id},
        "recursion_limit": RECURSION_LIMIT,
    }
    graph = build_graph().compile(checkpointer=saver)
    if start is None and saver.get_tuple(config) is None:
        # Killed before the first checkpoint: there is nothing to go on from but the start.
        start = {"run_id": context.run_id}
    if start is not None:
        context.emit("started", "started", {"run": context.run_id, "goal": context.goal.text})
    try:
        final = graph.invoke(start, config, context=context, durability="sync", control=control)
    except (GraphDrained, StopAsked):
        return "stopped"
    if INTERRUPT in final:
        asked = Asked.model_validate(final[INTERRUPT][0].value)
        context.emit(ASKED, f"{ASKED}/{asked.occasion}", asked.model_dump(mode="json"))
        return "waiting"
    status: Literal["accepted", "rejected"] = final["verdict"]["status"]
    return status


def _prune(saver: SqliteSaver, context: Context) -> None:
    """Drop the checkpoints of runs that were killed between their end and this clearing up."""
    for run_id in context.memory.runs.ended() & threads(saver):
        saver.delete_thread(run_id)
