"""The graph: which node follows which, and what every node does besides its work.

recall -> propose -> collect -> extract -> plan_search <-> evaluate -> judge -> reflect, back to
propose or on to confirm -> remember -> report. The parts of a goal that was split each go through
propose, collect and next_part, which leads to extract behind the last one. A budget that is used up
leads to run_out from wherever that shows, and rounds that bring nothing lead there from reflect; on
from there it goes to confirm or to the end. Where a person wants to approve them, approve_data
stands behind collect and approve_plan before confirm.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from selfsteer.agents.budget import CannotGoOn
from selfsteer.agents.context import Context
from selfsteer.agents.nodes.approve import approve_data, approve_plan
from selfsteer.agents.nodes.collect import collect
from selfsteer.agents.nodes.confirm import confirm
from selfsteer.agents.nodes.evaluate import evaluate
from selfsteer.agents.nodes.extract import extract
from selfsteer.agents.nodes.judge import judge
from selfsteer.agents.nodes.next_part import next_part
from selfsteer.agents.nodes.plan_search import plan_search
from selfsteer.agents.nodes.propose import propose
from selfsteer.agents.nodes.recall import recall
from selfsteer.agents.nodes.reflect import reflect
from selfsteer.agents.nodes.remember import remember
from selfsteer.agents.nodes.report import report
from selfsteer.agents.nodes.run_out import run_out
from selfsteer.agents.room import check_budget, spent_so_far
from selfsteer.agents.state import LoopState

Node = Callable[[LoopState, Context], LoopState]

# Each opens work that a used-up budget leaves undone; what was begun is finished.
OPENING: tuple[Node, ...] = (propose, collect, plan_search)
OTHERS: tuple[Node, ...] = (
    recall,
    next_part,
    extract,
    evaluate,
    judge,
    reflect,
    run_out,
    approve_data,
    approve_plan,
    confirm,
    remember,
    report,
)


def build_graph() -> StateGraph[LoopState, Context, LoopState, LoopState]:
    """The nodes and the ways between them."""
    graph = StateGraph(LoopState, context_schema=Context)
    for node in OPENING:
        graph.add_node(node.__name__, _counted(node, opens=True))
    for node in OTHERS:
        graph.add_node(node.__name__, _counted(node, opens=False))
    graph.add_edge(START, "recall")
    graph.add_conditional_edges("recall", _after_recall, ["approve_plan", "confirm", "propose"])
    graph.add_conditional_edges("propose", _unless_short("collect"), ["collect", "run_out"])
    graph.add_conditional_edges(
        "collect", _after_collect, ["approve_data", "next_part", "extract", "reflect", "run_out"]
    )
    graph.add_conditional_edges(
        "approve_data", _after_approve_data, ["next_part", "extract", "remember"]
    )
    graph.add_conditional_edges("next_part", _after_next_part, ["propose", "extract"])
    graph.add_edge("extract", "plan_search")
    graph.add_conditional_edges("plan_search", _unless_short("evaluate"), ["evaluate", "run_out"])
    graph.add_edge("evaluate", "judge")
    graph.add_conditional_edges("judge", _after_judge, ["plan_search", "reflect", "run_out"])
    graph.add_conditional_edges(
        "reflect",
        _after_reflect,
        ["propose", "extract", "plan_search", "approve_plan", "confirm", "remember", "run_out"],
    )
    graph.add_conditional_edges("run_out", _after_run_out, ["approve_plan", "confirm", "remember"])
    graph.add_conditional_edges("approve_plan", _unless_refused("confirm"), ["confirm", "remember"])
    graph.add_conditional_edges("confirm", _after_confirm, ["propose", "remember"])
    graph.add_edge("remember", "report")
    graph.add_edge("report", END)
    return graph


def _counted(node: Node, *, opens: bool) -> Any:
    """Add up what a node says that it spent and the time that it took; note what ends the run."""

    def run(state: LoopState, runtime: Runtime[Context]) -> LoopState:
        context = runtime.context
        context.follow(state)
        began = time.monotonic()
        try:
            if opens:
                check_budget(state, context)
            update = node(state, context)
        except CannotGoOn as error:
            update = {"shortage": str(error), "spent": dict(error.spent)}
        total = spent_so_far(state).plus(
            **(update.pop("spent", None) or {}), minutes=(time.monotonic() - began) / 60
        )
        return {**update, "spent": total.model_dump()}

    return run


def _unless_short(following: str) -> Callable[[LoopState], str]:
    def after(state: LoopState) -> str:
        return "run_out" if state.get("shortage") else following

    return after


def _unless_refused(following: str) -> Callable[[LoopState], str]:
    def after(state: LoopState) -> str:
        return "remember" if state.get("refused") else following

    return after


def _to_confirm(runtime: Runtime[Context]) -> str:
    return "approve_plan" if "plan" in runtime.context.settings.approve else "confirm"


def _after_recall(state: LoopState, runtime: Runtime[Context]) -> str:
    return _to_confirm(runtime) if state["recalled"] else "propose"


def _after_collect(state: LoopState, runtime: Runtime[Context]) -> str:
    if state.get("shortage"):
        return "run_out"
    if not state["dataset_id"]:
        return "reflect"
    if "data" in runtime.context.settings.approve:
        return "approve_data"
    return _with_pairs(state)


def _with_pairs(state: LoopState) -> str:
    return "extract" if state.get("part") is None else "next_part"


def _after_approve_data(state: LoopState) -> str:
    return _unless_refused(_with_pairs(state))(state)


def _after_next_part(state: LoopState) -> str:
    return "extract" if state["part"] is None else "propose"


def _after_judge(state: LoopState) -> str:
    """A round goes on until its last looks are judged."""
    return _unless_short("reflect" if state["settled"] else "plan_search")(state)


def _after_reflect(state: LoopState, runtime: Runtime[Context]) -> str:
    if state.get("shortage"):
        return "run_out"
    return {
        "confirm": _to_confirm(runtime),
        "narrow": "plan_search",
        "widen": "plan_search",
        "other_method": "extract",
        "revise_data": "propose",
        "split": "propose",
        "give_up": "remember",
    }[state["decision"]["action"]]


def _after_run_out(state: LoopState, runtime: Runtime[Context]) -> str:
    return _to_confirm(runtime) if state["decision"]["action"] == "confirm" else "remember"


def _after_confirm(state: LoopState) -> str:
    """What memory offers and does not hold starts the loop; any other failure ends the run."""
    if state["recalled"] and state["verdict"].get("status") == "rejected":
        return "propose"
    return "remember"
