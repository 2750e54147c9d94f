"""The loop as a LangGraph graph: which node follows which, and how a run starts, stops and resumes.

recall -> propose -> collect -> extract -> plan_search <-> evaluate -> judge -> reflect, back to
propose or on to confirm -> remember -> report. Every node may run again from its top after an
interruption: what it adds to memory has keys that it computes again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from selfsteer.agents.budget import Spent
from selfsteer.agents.context import Context, Listener
from selfsteer.agents.controller import Controller
from selfsteer.agents.nodes.collect import collect
from selfsteer.agents.nodes.confirm import confirm
from selfsteer.agents.nodes.evaluate import evaluate
from selfsteer.agents.nodes.extract import extract
from selfsteer.agents.nodes.judge import judge
from selfsteer.agents.nodes.plan_search import plan_search
from selfsteer.agents.nodes.propose import propose
from selfsteer.agents.nodes.recall import recall
from selfsteer.agents.nodes.reflect import reflect
from selfsteer.agents.nodes.remember import remember
from selfsteer.agents.nodes.report import report
from selfsteer.agents.probes import deal_probes
from selfsteer.agents.settings import RunSettings
from selfsteer.agents.state import LoopState
from selfsteer.errors import MemoryFileError
from selfsteer.memory.records import Run
from selfsteer.memory.store import Memory
from selfsteer.steering.metrics.retention import CapabilityItem
from selfsteer.steering.model import Student

Node = Callable[[LoopState, Context], LoopState]

# A round of 200 candidates in batches of 12 takes about 60 steps; the budget ends runs, not this.
RECURSION_LIMIT = 10_000


def _quiet(kind: str, payload: Mapping[str, Any]) -> None:
    """The listener of those who do not want to be told."""


def run_goal(
    student: Student,
    controller: Controller,
    memory: Memory,
    settings: RunSettings,
    *,
    capability: Sequence[CapabilityItem] = (),
    listener: Listener = _quiet,
) -> Run:
    """Run the loop for one goal from the start.

    Args:
        capability: questions that retention is measured on; none leaves retention unmeasured.
        listener: told of every event.

    Returns:
        the run as it stands in memory, with its verdict.

    Raises:
        KeyboardInterrupt: passed on after the run is marked as stopped; `resume_run` goes on.
    """
    run = memory.runs.start(
        settings.goal.text,
        student=student.name,
        fingerprint=student.fingerprint,
        controller=controller.name,
        seed=settings.seed,
        settings=settings.model_dump(mode="json"),
    )
    context = _context(run.id, settings, student, controller, memory, capability, listener)
    return _drive({"run_id": run.id}, context)


def resume_run(
    run_id: str,
    student: Student,
    controller: Controller,
    memory: Memory,
    *,
    capability: Sequence[CapabilityItem] = (),
    listener: Listener = _quiet,
) -> Run:
    """Go on with a run that was stopped or killed, from its last finished node.

    Raises:
        MemoryFileError: no such run, a run that ended, or one of another student.
    """
    run = memory.runs.get(run_id)
    if run.fingerprint != student.fingerprint:
        raise MemoryFileError(
            f"Run {run_id} steers {run.student} ({run.fingerprint[:12]}), not {student.name} "
            f"({student.fingerprint[:12]}); resume it with the student it began with."
        )
    memory.runs.resume(run_id)
    settings = RunSettings.model_validate(run.settings)
    context = _context(run_id, settings, student, controller, memory, capability, listener)
    return _drive(None, context)


def _context(
    run_id: str,
    settings: RunSettings,
    student: Student,
    controller: Controller,
    memory: Memory,
    capability: Sequence[CapabilityItem],
    listener: Listener,
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
    )


def _drive(start: LoopState | None, context: Context) -> Run:
    """Run the graph to its end; whatever ends it, the run's row says so."""
    began = time.monotonic()
    runs = context.memory.runs
    config: RunnableConfig = {
        "configurable": {"thread_id": context.run_id},
        "recursion_limit": RECURSION_LIMIT,
    }
    try:
        with _checkpoints(context.memory.path) as saver:
            graph = build_graph().compile(checkpointer=saver)
            if start is None and saver.get_tuple(config) is None:
                # Killed before the first checkpoint: there is nothing to go on from but the start.
                start = {"run_id": context.run_id}
            if start is not None:
                context.emit(
                    "started", "started", {"run": context.run_id, "goal": context.goal.text}
                )
            final = graph.invoke(start, config, context=context, durability="sync")
            status = final["verdict"]["status"]
            ended = runs.finish(context.run_id, status, seconds=time.monotonic() - began)
            # Only now: a run that is killed before it is marked as ended has to find its end here.
            saver.delete_thread(context.run_id)
    except KeyboardInterrupt:
        runs.finish(context.run_id, "stopped", seconds=time.monotonic() - began)
        raise
    except BaseException:
        runs.finish(context.run_id, "failed", seconds=time.monotonic() - began)
        raise
    return ended


@contextmanager
def _checkpoints(database: Path) -> Iterator[SqliteSaver]:
    """Checkpoints in a file beside the database; only plain JSON values are read back.

    Raises:
        MemoryFileError: the file is damaged or cannot be written.
    """
    path = database.with_name(f"{database.name}.checkpoints")
    try:
        with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
            yield SqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=[]))
    except sqlite3.Error as error:
        raise MemoryFileError(
            f"The checkpoints {path} cannot be used ({error}); make room on the disk, or delete "
            "the file if it is damaged: a run that was stopped then begins anew."
        ) from error


def build_graph() -> StateGraph[LoopState, Context, LoopState, LoopState]:
    """The nodes and the ways between them."""
    graph = StateGraph(LoopState, context_schema=Context)
    nodes: tuple[Node, ...] = (
        recall,
        propose,
        collect,
        extract,
        plan_search,
        evaluate,
        judge,
        reflect,
        confirm,
        remember,
        report,
    )
    for node in nodes:
        graph.add_node(node.__name__, _timed(node))
    graph.add_edge(START, "recall")
    graph.add_conditional_edges("recall", _after_recall, ["confirm", "propose"])
    graph.add_edge("propose", "collect")
    graph.add_conditional_edges("collect", _after_collect, ["extract", "reflect"])
    graph.add_edge("extract", "plan_search")
    graph.add_edge("plan_search", "evaluate")
    graph.add_edge("evaluate", "judge")
    graph.add_conditional_edges("judge", _after_judge, ["plan_search", "reflect"])
    graph.add_conditional_edges(
        "reflect", _after_reflect, ["propose", "plan_search", "confirm", "remember"]
    )
    graph.add_conditional_edges("confirm", _after_confirm, ["propose", "remember"])
    graph.add_edge("remember", "report")
    graph.add_edge("report", END)
    return graph


def _timed(node: Node) -> Any:
    """Add up what a node says that it spent, and the time that it took."""

    def run(state: LoopState, runtime: Runtime[Context]) -> LoopState:
        began = time.monotonic()
        update = node(state, runtime.context)
        spent = Spent.model_validate(state.get("spent") or {})
        minutes = (time.monotonic() - began) / 60
        total = spent.plus(**(update.pop("spent", None) or {}), minutes=minutes)
        return {**update, "spent": total.model_dump()}

    return run


def _after_recall(state: LoopState) -> str:
    return "confirm" if state["recalled"] else "propose"


def _after_collect(state: LoopState) -> str:
    return "extract" if state["dataset_id"] else "reflect"


def _after_judge(state: LoopState, runtime: Runtime[Context]) -> str:
    """A round goes on until its finalists are judged, or the budget ends it."""
    if state["stage"] == "finalists":
        return "reflect"
    spent = Spent.model_validate(state["spent"])
    return "reflect" if runtime.context.settings.budget.exhausted(spent) else "plan_search"


def _after_reflect(state: LoopState) -> str:
    return {
        "confirm": "confirm",
        "narrow": "plan_search",
        "revise_data": "propose",
        "give_up": "remember",
    }[state["decision"]["action"]]


def _after_confirm(state: LoopState) -> str:
    """A recalled vector that no longer holds starts the loop; any other failure ends the run."""
    if state["recalled"] and state["verdict"]["status"] != "accepted":
        return "propose"
    return "remember"
